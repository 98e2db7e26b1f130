"""The pages: the front page's length, and that what they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gpoa import __version__
from gpoa.cli.main import VERBS
from gpoa.envs.registration import ENVIRONMENTS
from gpoa.models.zoo import ZOO

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "scripts/RESULTS.md",
    "gpoa/README.md",
    "gpoa/app/README.md",
    "gpoa/rl/README.md",
    "checkpoints/README.md",
    "data/README.md",
)
OURS = PAGES[:-1]  # data/README.md quotes a licence note that has an address in it
FRONT_PAGE_LINES = 150

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"(?<![\w/.~-])((?:gpoa|scripts|tests|data|checkpoints)/[\w./-]*[\w/])")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_VERB = re.compile(r"(?<![\w/]|-)gpoa ([a-z]\w*)")
_HOST = re.compile(r"(?:https?://)?\b[\w-]+(?:\.[\w-]+)*\.(?:org|com|co|io|net|dev|ai)\b")


def _slug(heading: str) -> str:
    """The anchor of a heading: lower case, words joined by hyphens."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    return {_slug(line.lstrip("#")) for line in page.read_text().splitlines() if line.startswith("#")}


def _missing_links(text: str, page: Path) -> list[str]:
    """Relative links of the page's text that lead nowhere, anchors included."""
    missing = []
    for target in _LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            missing.append(target)
    return missing


def _missing_paths(text: str) -> list[str]:
    """Paths from the repository's root that a page names and that do not exist; folders of fetched models may be
    missing, and names of environments are no paths."""
    fetched = tuple(f"checkpoints/{name}" for name in ZOO)
    named = [path for path in _PATH.findall(text) if path not in ENVIRONMENTS]
    return [path for path in named if not path.startswith(fetched) and not (ROOT / path).exists()]


def _unknown_verbs(text: str) -> list[str]:
    """Words that follow `gpoa` in code and are no verb."""
    blocks = [re.sub(r"#.*", "", block) for language, block in _FENCED.findall(text) if not language]
    code = "\n".join([*blocks, *_INLINE.findall(_FENCED.sub("", text))])
    return [verb for verb in _VERB.findall(code) if verb not in VERBS]


def test_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= FRONT_PAGE_LINES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert _missing_links((ROOT / page).read_text(), ROOT / page) == []


@pytest.mark.parametrize("page", PAGES)
def test_named_paths_exist(page: str) -> None:
    assert _missing_paths((ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", PAGES)
def test_named_verbs_exist(page: str) -> None:
    assert _unknown_verbs((ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", OURS)
def test_no_host_is_named(page: str) -> None:
    assert _HOST.findall((ROOT / page).read_text()) == []


def test_every_verb_is_on_the_front_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert [verb for verb in VERBS if f"| `gpoa {verb}` |" not in text] == []


def test_scripts_are_beside_their_results() -> None:
    """Each benchmark script is named on the page of results."""
    text = (ROOT / "scripts" / "RESULTS.md").read_text()
    scripts = [
        path.name
        for path in sorted((ROOT / "scripts").glob("*.py"))
        if path.name.startswith(("benchmark_", "calibrate_"))
    ]
    assert len(scripts) >= 7
    assert [name for name in scripts if f"scripts/{name}" not in text] == []


def test_citation_is_of_this_version() -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    citation = yaml.safe_load(block.group(1))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")


def test_changes_name_this_version() -> None:
    assert f"### {__version__}\n" in (ROOT / "gpoa" / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("[a](README.md)", []),
        ("[a](gone.md)", ["gone.md"]),
        ("[a](README.md#results)", []),
        ("[a](#results)", []),  # on the same page
        ("[a](#no-such-heading)", ["#no-such-heading"]),
        ("[a](https://example.org/gone.md)", []),  # only relative links are followed
    ],
)
def test_missing_links_are_seen(text: str, missing: list[str]) -> None:
    assert _missing_links(text, ROOT / "README.md") == missing


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("see `gpoa/errors.py`.", []),
        ("see `gpoa/no_such_file.py`.", ["gpoa/no_such_file.py"]),
        ("`gpoa/BubblePrompts-v0`", []),  # a name in Gymnasium
        ("in checkpoints/dinov2-small/", []),  # fetched on demand
        ("~/.cache/gpoa/checkpoints and ../gpoa/x.md", []),  # not from the root
    ],
)
def test_missing_paths_are_seen(text: str, missing: list[str]) -> None:
    assert _missing_paths(text) == missing


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("`gpoa run -h`", []),
        ("`gpoa fly`", ["fly"]),
        ("```\ngpoa fly --high\n```", ["fly"]),
        ("the gpoa start is .4", []),  # prose
        ("`gpoa VERB -h`", []),
        ("```python\nfrom gpoa import OneShotSegmenter\n```", []),
    ],
)
def test_unknown_verbs_are_seen(text: str, unknown: list[str]) -> None:
    assert _unknown_verbs(text) == unknown


@pytest.mark.parametrize(
    ("text", "hosts"), [("see index.example.org", ["index.example.org"]), ("a file.json, e.g. this", [])]
)
def test_hosts_are_seen(text: str, hosts: list[str]) -> None:
    assert _HOST.findall(text) == hosts
