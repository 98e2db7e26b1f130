"""Who may import whom (DESIGN 2), and that importing the package stays light."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpoa

PACKAGE = Path(gpoa.__file__).parent
# The house from the ground up: a module may import from its own room and from the rows below it (above it in this
# list), never from its neighbours in the row.
ORDER = (
    ("types", "errors"),
    ("geometry", "config"),
    ("runtime",),
    ("datasets", "models"),
    ("features", "segmenters"),
    ("matching",),
    ("graph",),
    ("envs", "policies"),
    ("search",),
    ("instances",),
    ("viewer", "tracking"),
    ("pipeline",),
    ("rl", "evaluation"),
    ("report", "baselines"),
    ("benchmark", "app"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, row in enumerate(ORDER) for room in row}
# "gpoa" is the package's own __init__: everybody may read the version; the names in it are for the type checker.
LOOSE_FILES = {"README.md", "__init__.py", "__main__.py", "types.py", "errors.py", "geometry.py", "py.typed"}
HEAVY = {"torch", "transformers", "onnxruntime", "segment_anything", "onnx", "huggingface_hub", "skimage"}
# These are networks and their training: whoever loads them wants torch.
TORCH = ("policies/", "rl/", "search/agent.py", "search/keep_best.py", "search/click_learned.py",
    "runtime/checkpointing.py", "matching/prior/network.py", "matching/prior/training.py", "matching/prior/model.py")
SOURCES = sorted(PACKAGE.rglob("*.py"))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run when the module is imported."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if _is_type_checking(child):
            children = child.orelse
            for node in children:
                yield node
                yield from _at_import(node)
            continue
        yield child
        yield from _at_import(child)


def _modules(node: ast.AST) -> list[str]:
    """Dotted names that an import statement may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.level:
            return ["relative"]
        return [node.module] + [f"{node.module}.{alias.name}" for alias in node.names if node.module == "gpoa"]
    return []


def _rooms(node: ast.AST) -> set[str]:
    """Rooms of gpoa that an import statement reaches."""
    found = set()
    for name in _modules(node):
        parts = name.split(".")
        if parts[0] != "gpoa":
            continue
        room = parts[1] if len(parts) > 1 else None
        if room in FLOOR:
            found.add(room)
        elif room is not None and (isinstance(node, ast.Import) or node.module != "gpoa"):
            found.add(room)  # an unknown room: it has no floor
        elif room is not None:
            found.add("gpoa")  # `from gpoa import __version__`
        elif isinstance(node, ast.Import):
            found.add("gpoa")
    return found


def _room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "gpoa" if first == "__init__.py" else first.removesuffix(".py")


def _may_import(room: str, target: str) -> bool:
    if target in (room, "gpoa"):
        return True
    if room == "gpoa":
        return target in ("config", "pipeline")
    return target in FLOOR and FLOOR[target] < FLOOR[room]


def _forbidden(room: str, tree: ast.AST) -> set[str]:
    """Rooms that a module of `room` imports, at whatever moment, and must not."""
    wrong = set()
    for node in ast.walk(tree):
        if _modules(node) == ["relative"]:
            wrong.add("relative")
        wrong |= {target for target in _rooms(node) if not _may_import(room, target)}
    return wrong


def _imports_of(path: Path) -> set[str]:
    """Modules of the package that a module imports, now or later, but not for the type checker only."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(n) for node in ast.walk(tree) if _is_type_checking(node) for part in node.body for n in ast.walk(part)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        for name in _modules(node):
            found.add(name)
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found & set(MODULES)


MODULES = {
    ".".join(["gpoa", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def _heavy(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for node in _at_import(tree) for name in _modules(node)} & HEAVY


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layers(path: Path) -> None:
    assert _room_of(path) in {*FLOOR, "gpoa"}, f"{path}: a new room needs its place in ORDER"
    assert _forbidden(_room_of(path), ast.parse(path.read_text())) == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_heavy_on_import(path: Path) -> None:
    allowed = {"torch"} if path.relative_to(PACKAGE).as_posix().startswith(TORCH) else set()
    assert _heavy(ast.parse(path.read_text())) - allowed == set()


@pytest.mark.parametrize(
    ("room", "text", "wrong"),
    [
        ("matching", "from gpoa.types import Size", set()),  # downwards
        ("matching", "from gpoa.matching.nearest import Matches", set()),  # its own room
        ("envs", "from gpoa.policies.batch import collate", {"policies"}),  # sideways
        ("matching", "def f():\n    import gpoa.search.judges", {"search"}),  # upwards, late
        (
            "search",
            "if TYPE_CHECKING:\n    from gpoa.pipeline.image import ImagePipeline",
            {"pipeline"},
        ),  # only for types
        ("types", "from gpoa import errors", {"errors"}),  # a module taken from the package
        ("matching", "from gpoa import __version__", set()),  # the version is for everybody
        ("matching", "from gpoa.unheard import of", {"unheard"}),  # a room without an entry
        ("matching", "from . import nearest", {"relative"}),
        ("features", "from gpoa.segmenters.base import Segmenter", {"segmenters"}),  # a neighbour
    ],
)
def test_layers_are_seen(room: str, text: str, wrong: set[str]) -> None:
    assert _forbidden(room, ast.parse(text)) == wrong


@pytest.mark.parametrize(
    ("text", "heavy"),
    [
        ("import torch", {"torch"}),
        ("from torch.nn import functional", {"torch"}),
        ("try:\n    import onnx\nexcept ImportError:\n    onnx = None", {"onnx"}),  # still on import
        ("class A:\n    import transformers", {"transformers"}),  # class bodies run too
        ("def f():\n    import torch", set()),
        ("if TYPE_CHECKING:\n    import torch", set()),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import onnxruntime", {"onnxruntime"}),
        ("import torchmetrics_is_another_package", set()),
    ],
)
def test_heavy_imports_are_seen(text: str, heavy: set[str]) -> None:
    assert _heavy(ast.parse(text)) == heavy


def test_no_loose_files() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} <= LOOSE_FILES


def test_no_circles() -> None:
    """Whoever is imported is finished before: modules can be sorted, late imports included."""
    graph = {name: _imports_of(path) - {name, "gpoa"} for name, path in MODULES.items() if name != "gpoa"}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_pipeline_starts_without_torch() -> None:
    code = "import sys, gpoa.pipeline.one_shot; print(*sorted({'torch', 'transformers'} & set(sys.modules)), 'end')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_fresh_interpreter_loads_nothing_heavy() -> None:
    code = (
        "import sys, gpoa, gpoa.cli.main; print(*sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)), 'end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_public_names() -> None:
    from gpoa.config import GpoaConfig

    assert gpoa.GpoaConfig is GpoaConfig
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = gpoa.Nothing
