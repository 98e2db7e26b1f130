"""Who may import whom (DESIGN 2), and that importing the package stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpoa

PACKAGE = Path(gpoa.__file__).parent
BASE = {"types", "errors", "geometry", "config", "atomic", "hf_loading", "onnx_weights", "machine", "memory", "precision"}
ROOMS = BASE | {"datasets", "features", "matching", "segmenters", "graph", "tracking"}
LEARNING = {"envs", "policies", "search", "rl"}

# Room -> rooms that it may import besides itself. "gpoa" is the package's own __init__ (the version).
ALLOWED: dict[str, set[str]] = {
    "gpoa": {"config", "pipeline"},  # names for the type checker; loaded on first use
    "types": set(),
    "errors": set(),
    "geometry": {"types", "errors"},
    "config": {"types", "errors"},
    # None of these imports another, but the graph is built from candidates.
    "atomic": {"errors"},
    "hf_loading": {"errors"},
    "onnx_weights": {"errors"},
    "machine": {"atomic", "errors"},
    "memory": {"errors"},
    "precision": {"errors"},
    "datasets": BASE,
    "features": BASE,
    "matching": BASE,
    "segmenters": BASE,
    "graph": BASE | {"matching"},
    "tracking": BASE,
    "viewer": BASE,  # pure drawing
    "envs": BASE | {"matching", "graph"},
    "policies": BASE | {"matching", "graph", "tracking"},
    "models": BASE | {"features", "segmenters", "gpoa"},
    "search": BASE | {"matching", "graph", "envs", "policies"},
    "rl": BASE | {"graph", "envs", "policies", "search", "tracking"},
    "evaluation": ROOMS | {"models", "search", "viewer", "gpoa"},
    "backbones": ROOMS | {"models", "search", "evaluation", "gpoa"},
    "fitted": BASE | {"matching"},
    "pipeline": ROOMS | {"fitted", "models", "envs", "policies", "search", "evaluation", "backbones", "gpoa"},
    "outputs": ROOMS | {"search", "viewer"},
    "reporting": BASE,
    "prefetch": BASE,
    "folder_learning": ROOMS | {"backbones", "pipeline"},
    "batch": ROOMS
    | {"backbones", "pipeline", "outputs", "folder_learning", "reporting", "prefetch", "viewer", "gpoa"},
    "parallel": ROOMS | {"backbones", "pipeline", "outputs", "batch", "reporting", "prefetch", "gpoa"},
    "baselines": ROOMS | {"search", "gpoa"},
    "benchmark": ROOMS
    | {"models", "search", "evaluation", "backbones", "baselines", "pipeline", "folder_learning", "viewer", "gpoa"},
    "training": ROOMS | LEARNING | {"backbones", "pipeline", "gpoa"},
    "cli": ROOMS | LEARNING | {"models", "evaluation", "backbones", "pipeline", "outputs", "reporting", "batch", "parallel", "benchmark", "training", "viewer", "gpoa"},
    "__main__": {"cli"},
}
# One step up is wanted: `OneShotSegmenter.predict_folder` is a shorthand for `gpoa.batch.run_folder`.
LAZY_EXCEPTIONS = {("pipeline", "batch")}
HEAVY = {"torch", "transformers", "onnxruntime", "segment_anything", "onnx", "huggingface_hub", "skimage"}
# These are networks and their training: whoever loads them wants torch.
TORCH = ("policies/", "rl/", "search/agent.py", "search/keep_best.py", "tracking/checkpointing.py")
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
        if room in ALLOWED:
            found.add(room)
        elif room is not None and (isinstance(node, ast.Import) or node.module != "gpoa"):
            found.add(room)  # an unknown room: no entry allows it
        elif room is not None:
            found.add("gpoa")  # `from gpoa import __version__`
        elif isinstance(node, ast.Import):
            found.add("gpoa")
    return found


def _room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "gpoa" if first == "__init__.py" else first.removesuffix(".py")


def _forbidden(room: str, tree: ast.AST) -> set[str]:
    """Rooms that a module of `room` imports and must not."""
    eager = {id(node) for node in _at_import(tree)}
    wrong = set()
    for node in ast.walk(tree):
        if _modules(node) == ["relative"]:
            wrong.add("relative")
        for target in _rooms(node) - ALLOWED[room] - {room}:
            if (room, target) not in LAZY_EXCEPTIONS or id(node) in eager:
                wrong.add(target)
    return wrong


def _heavy(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for node in _at_import(tree) for name in _modules(node)} & HEAVY


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layers(path: Path) -> None:
    assert _room_of(path) in ALLOWED, f"{path}: a new room needs an entry in ALLOWED"
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
        ("matching", "from gpoa.features.base import FeatureExtractor", {"features"}),  # sideways
        ("matching", "def f():\n    import gpoa.search.judges", {"search"}),  # upwards, late
        ("search", "if TYPE_CHECKING:\n    from gpoa.pipeline import OneShotSegmenter", {"pipeline"}),  # only for types
        ("types", "from gpoa import errors", {"errors"}),  # a module taken from the package
        ("matching", "from gpoa import __version__", {"gpoa"}),  # the package itself
        ("matching", "from gpoa.unheard import of", {"unheard"}),  # a room without an entry
        ("matching", "from . import nearest", {"relative"}),
        ("pipeline", "def f():\n    from gpoa.batch import run_folder", set()),  # the exception
        ("pipeline", "from gpoa.batch import run_folder", {"batch"}),  # the exception is for late imports only
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


def test_pipeline_starts_without_torch() -> None:
    code = "import sys, gpoa.pipeline, gpoa.batch; print(*sorted({'torch', 'transformers'} & set(sys.modules)), 'end')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_fresh_interpreter_loads_nothing_heavy() -> None:
    code = "import sys, gpoa, gpoa.cli.main; print(*sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)), 'end')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_public_names() -> None:
    from gpoa.config import GpoaConfig

    assert gpoa.GpoaConfig is GpoaConfig
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = gpoa.Nothing
