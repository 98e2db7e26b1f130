"""The files that come with gpoa are found in a clone, in any installation, and in a zipped wheel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gpoa
from gpoa.errors import ModelError
from gpoa.models.store import POLICY_NAME, find_policy, shipped

PACKAGE = Path(gpoa.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
PRINT_POLICY = """
import hashlib, gpoa
from gpoa.models.store import find_policy
path = find_policy()
print(gpoa.__file__, path, path.is_file(), hashlib.sha256(path.read_bytes()).hexdigest(), sep="\\n")
"""


def _pip(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def _policy_seen_from(place: Path, folder: Path) -> tuple[str, Path, bool, str]:
    """What a fresh interpreter with nothing of ours but `place` on its path finds: package, file, whether it is real,
    digest."""
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, "-c", PRINT_POLICY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    package, path, is_file, digest = done.stdout.splitlines()
    return package, Path(path), is_file == "True", digest


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel, built from a copy, so that the clone stays clean."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(PACKAGE, source / "gpoa", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, source)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def digest() -> str:
    """Of the policy in the clone."""
    return hashlib.sha256((PACKAGE / "weights" / POLICY_NAME).read_bytes()).hexdigest()


def test_in_a_clone() -> None:
    assert find_policy() == shipped(POLICY_NAME) == PACKAGE / "weights" / POLICY_NAME


def test_in_a_target_folder(wheel: Path, digest: str, tmp_path: Path) -> None:
    target = tmp_path / "anywhere"
    _pip("install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel)
    package, path, is_file, found = _policy_seen_from(target, tmp_path)
    assert package == str(target / "gpoa" / "__init__.py")
    assert (path, is_file, found) == (target / "gpoa" / "weights" / POLICY_NAME, True, digest)


def test_in_a_zipped_wheel(wheel: Path, digest: str, tmp_path: Path) -> None:
    package, path, is_file, found = _policy_seen_from(wheel, tmp_path)
    assert package.startswith(f"{wheel}{os.sep}")
    assert (is_file, found) == (True, digest)
    assert not path.exists()  # the copy goes with the process


def test_wheel_carries_licence_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert "gpoa/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)
    assert f"Version: {gpoa.__version__}\n" in metadata
    assert "License: Apache-2.0\n" in metadata or "License-Expression: Apache-2.0\n" in metadata


def test_unknown_name() -> None:
    with pytest.raises(ModelError, match="no-such-prior.pt: missing, though it comes with gpoa; install gpoa again"):
        shipped("no-such-prior.pt")


def test_every_shipped_file_is_on_the_page_of_models() -> None:
    files = sorted((PACKAGE / "weights").glob("*.pt"))
    page = (ROOT / "checkpoints" / "README.md").read_text()
    assert files
    assert [file.name for file in files if f"gpoa/weights/{file.name}" not in page] == []
