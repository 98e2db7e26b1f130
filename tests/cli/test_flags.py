"""Help, and one line for what is mistyped, of every verb. No model is loaded."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from gpoa.cli.common import parse
from gpoa.cli.flags import Flag, check_flags, flags_of
from gpoa.cli.main import VERBS, main
from gpoa.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    """A section."""

    margin: float = 0.5
    """How far."""


@dataclass(frozen=True)
class Args:
    """All kinds of flags."""

    images: tuple[Path, ...]
    """Some
    images."""
    mode: Literal["a", "b"] | None = None
    """A mode."""
    processes: int = 1
    """How many."""
    quick: bool = False
    """A switch."""
    inner: Inner = field(default_factory=Inner)
    unnamed: Annotated[Inner, tyro.conf.arg(name="")] = field(default_factory=Inner)


def test_flags_of_a_dataclass():
    assert flags_of(Args) == [
        Flag("images", "PATH [PATH ...]", "Some images.", required=True),
        Flag("mode", "{a,b}", "A mode."),
        Flag("processes", "N", "How many.", default="1"),
        Flag("quick", "", "A switch."),
        Flag("inner.margin", "X", "How far.", default="0.5"),
        Flag("margin", "X", "How far.", default="0.5"),
    ]


@pytest.mark.parametrize(
    "argv, said",
    [
        (["--imges", "x"], "unknown option --imges; did you mean --images?"),
        (["--images", "x", "--proceses=3"], "unknown option --proceses; did you mean --processes?"),
        (["--images", "x", "-processes", "3"], "unknown option -processes; did you mean --processes?"),
        (["--images", "x", "--zzz"], "unknown option --zzz; `gpoa try -h` lists the options"),
        (["--quick"], "--images is missing; `gpoa try -h` explains"),
        (["--images", "x", "--processes", "many"], "--processes many: expected a whole number"),
        (["--images", "x", "--margin", "wide"], "--margin wide: expected a number"),
        (["--images", "x", "--mode", "c"], "--mode c: expected {a,b}"),
        (["--images", "x", "--quick", "stray"], "unexpected argument stray; `gpoa try -h` explains"),
        (["--images", "x", "--processes"], "--processes: expected a whole number"),
    ],
)
def test_one_line_for_each_mistake(argv: list[str], said: str):
    with pytest.raises(ConfigError) as caught:
        parse(Args, "try", "", argv)
    assert str(caught.value) == said


def test_a_flag_of_a_section_is_found_by_its_last_part():
    with pytest.raises(ConfigError, match="did you mean --inner.deep?"):
        check_flags("gpoa try", [Flag("inner.deep", "X", "")], ["--deep", "3"])


def test_right_arguments_are_parsed(tmp_path: Path):
    """Underscores, `=`, switches both ways, negative numbers, and a file of flags."""
    assert parse(Args, "try", "", ["--images", "x", "y", "--no-quick", "--inner.margin=-1"]).inner.margin == -1
    (tmp_path / "flags.json").write_text('{"images": ["z"], "quick": true, "inner": {"margin": 2}}')
    args = parse(Args, "try", "", [f"--config={tmp_path / 'flags.json'}", "--processes", "2"])
    assert (args.images, args.quick, args.inner.margin, args.processes) == ((Path("z"),), True, 2.0, 2)


def _help(verb: str, flag: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([verb, flag])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_of_run_is_a_few_options_and_names_the_way_to_the_rest(capsys: pytest.CaptureFixture[str]):
    shown = _help("run", "-h", capsys)
    options = [line.split()[0] for line in shown.splitlines() if line.startswith("  --")]
    assert options == [
        "--reference", "--targets", "--output", "--mask", "--points", "--box", "--instances", "--pixel-size",
        "--strategy", "--budget", "--processes", "--devices", "--coco", "--trace", "--recursive", "--json", "--config",
    ]  # fmt: skip
    assert "options: gpoa run --help-all" in shown and "(required)" in shown and len(shown.splitlines()) < 60
    assert not set(shown) & set("─│╭╰")
    assert "--candidates.prune-distance" in _help("run", "--help-all", capsys)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps_and_names_the_nearest_option(verb: str, capsys: pytest.CaptureFixture[str]):
    assert f"gpoa {verb}" in _help(verb, "-h", capsys)
    wrong, right = ("--prt", "--port") if verb == "app" else ("--jsn", "--json")  # the page has no JSON
    assert main(["models", "list", wrong] if verb == "models" else [verb, wrong]) == 2
    said = capsys.readouterr()
    assert said.err == f"gpoa {verb}: unknown option {wrong}; did you mean {right}?\n" and said.out == ""


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "models"])
def test_every_flag_has_a_sentence(verb: str):
    flags = flags_of(importlib.import_module(f"gpoa.cli.{verb}").Args)
    assert [flag.name for flag in flags if not flag.help.endswith(".")] == []
