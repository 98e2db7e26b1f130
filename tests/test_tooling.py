"""The code itself: ruff and mypy pass, functions and files stay short (STYLE 2)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpoa

PACKAGE = Path(gpoa.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
BODY_LINES, FILE_LINES = 40, 400
# "path::function" -> why it is longer. Whoever adds one says why it reads better whole.
LONG_BODIES: dict[str, str] = {}
# path -> why the file is longer.
LONG_FILES: dict[str, str] = {}
SOURCES = sorted(PACKAGE.rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _run(*command: str | Path) -> str:
    """What a tool prints, with nothing where it passes."""
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """(dotted name, function) of every function, methods and nested ones included."""
    for child in ast.iter_child_nodes(tree):
        name = f"{prefix}{child.name}" if isinstance(child, (Function, ast.ClassDef)) else prefix
        if isinstance(child, Function):
            yield name, child
        yield from _functions(child, f"{name}." if isinstance(child, (Function, ast.ClassDef)) else prefix)


def _body_lines(function: Function) -> int:
    """Lines of a body, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def _long_bodies(text: str, path: str) -> list[str]:
    """ "path::function" of every body that is too long."""
    return [f"{path}::{name}" for name, node in _functions(ast.parse(text)) if _body_lines(node) > BODY_LINES]


def test_ruff() -> None:
    assert _run("ruff", "check", "--no-cache", "--output-format", "concise", "gpoa", "scripts", "tests") == ""


def test_mypy() -> None:
    assert _run("mypy") == ""


def test_ruff_and_mypy_see_mistakes(tmp_path: Path) -> None:
    """With our settings a file of two mistakes does not pass, so that an empty answer means something."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import os\n\n\ndef half(value: int) -> str:\n    return value\n")
    assert "F401" in _run("ruff", "check", "--no-cache", "--config", ROOT / "pyproject.toml", wrong)
    assert "[return-value]" in _run("mypy", "--config-file", ROOT / "setup.cfg", wrong)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_bodies_are_short(path: Path) -> None:
    name = path.relative_to(PACKAGE.parent).as_posix()
    assert [one for one in _long_bodies(path.read_text(), name) if one not in LONG_BODIES] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_short(path: Path) -> None:
    name = path.relative_to(PACKAGE.parent).as_posix()
    assert name in LONG_FILES or len(path.read_text().splitlines()) <= FILE_LINES


def test_exceptions_are_needed_and_have_a_reason() -> None:
    bodies = {
        one for path in SOURCES for one in _long_bodies(path.read_text(), path.relative_to(PACKAGE.parent).as_posix())
    }
    assert set(LONG_BODIES) <= bodies, "no longer an exception"
    long_files = {name for name in LONG_FILES if len((PACKAGE.parent / name).read_text().splitlines()) > FILE_LINES}
    assert set(LONG_FILES) == long_files, "no longer an exception"
    assert all(len(reason.split()) >= 4 for reason in [*LONG_BODIES.values(), *LONG_FILES.values()])


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("def f():\n" + "    x = 1\n" * BODY_LINES, []),  # exactly as many as allowed
        ("def f():\n" + "    x = 1\n" * (BODY_LINES + 1), ["a.py::f"]),
        ('def f():\n    """One.\n' + "\n" * 50 + '    """\n    return 1\n', []),  # a docstring may be long
        ("class A:\n    def f(self):\n" + "        x = 1\n" * (BODY_LINES + 1), ["a.py::A.f"]),
        ('def f():\n    """Only this."""\n', []),
    ],
)
def test_long_bodies_are_seen(text: str, long: list[str]) -> None:
    assert _long_bodies(text, "a.py") == long
