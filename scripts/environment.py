"""Makes `.venv` in the repository with gpoa installed in it; used by `quickstart.py` and `run_tests.py`.

Needs nothing but Python 3.10 or newer with its `venv` module and pip's access to a package index.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
CONSTRAINTS = VENV / "constraints.txt"
OLDEST = (3, 10)


def ensure_environment(extras: str = "") -> Path:
    """Creates the environment, or brings it up to date; an unchanged one costs nothing.

    Args:
        extras: names of extras, for instance "test".

    Returns:
        The environment's Python.
    """
    if sys.version_info < OLDEST:
        sys.exit(f"gpoa needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}")
    python = BIN / ("python.exe" if os.name == "nt" else "python")
    stamp = VENV / f".gpoa-installed-{extras or 'core'}"
    wanted = hashlib.sha256((ROOT / "setup.cfg").read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    began = time.perf_counter()
    print(f"setting up {VENV} (torch and the rest, several GB where pip brings CUDA along) …", flush=True)
    _make_venv(python)
    pip = [python, "-m", "pip", "install", "-qq"]
    if not CONSTRAINTS.exists():
        CONSTRAINTS.write_text(_small_torch(pip))
    target = f".[{extras}]" if extras else "."
    if subprocess.run([*pip, "--constraint", CONSTRAINTS, "--editable", target], cwd=ROOT).returncode:
        free = shutil.disk_usage(ROOT).free / 2**30
        sys.exit(f"pip could not install gpoa; its own message is above ({free:.1f} GiB of disk are free)")
    stamp.write_text(wanted)
    print(f"set up in {time.perf_counter() - began:.0f} s", flush=True)
    return python


def _small_torch(pip: list[str | Path]) -> str:
    """Installs the torch of pip's own wheel folders (`find-links` in its configuration) where there is one and no GPU.

    On Linux, an index's torch brings several GB of CUDA; whoever keeps a wheel folder for a machine without a GPU keeps
    the small build in it.

    Returns:
        The constraint that keeps it, or nothing.
    """
    has_gpu = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()
    if has_gpu or subprocess.run([*pip, "--no-index", "--no-deps", "torch"], capture_output=True).returncode:
        return ""
    shown = subprocess.run([pip[0], "-m", "pip", "show", "torch"], capture_output=True, text=True, check=True).stdout
    version = next(line.split()[1] for line in shown.splitlines() if line.startswith("Version:"))
    print(f"torch {version} from pip's wheel folder", flush=True)
    return f"torch=={version}\n"


def _make_venv(python: Path) -> None:
    """Creates the virtual environment where there is none."""
    if python.exists():
        return
    try:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        reason = " ".join((error.stderr or error.stdout).split())
        sys.exit(f"python cannot make a virtual environment ({reason}); on Debian: apt install python3-venv")


def run(command: list[str | Path]) -> int:
    """Runs a command in the repository's root and shows what it prints; returns its exit status."""
    return subprocess.run([str(part) for part in command], cwd=ROOT).returncode
