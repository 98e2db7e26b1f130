"""Report the Python version, packages, devices, models and folders that gpoa finds on this machine.

example:
  gpoa doctor
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from gpoa.cli.common import parse
from gpoa.errors import one_line

PACKAGES = (
    "torch", "torch-geometric", "segment-anything", "transformers", "numpy", "scipy", "pillow",
    "onnx", "onnxruntime", "safetensors", "tyro",
)  # fmt: skip


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa doctor`."""

    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns 0 when gpoa can run here, 1 when a package is missing or does not load."""
    args = parse(Args, "doctor", __doc__, argv)
    facts = examine()
    if args.json:
        print(json.dumps(facts))
    else:
        for section, values in facts.items():
            print(section)
            for name, value in values.items():
                print(f"  {name:<18} {value}")
    broken = any("missing" in str(value) or "fails" in str(value) for value in facts["packages"].values())
    return int(broken)


def examine() -> dict[str, dict[str, Any]]:
    """Looks at the machine.

    Returns:
        Sections of named facts; nothing is fetched.
    """
    packages: dict[str, Any] = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "missing; run `pip install gpoa` again"
    machine: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
    try:
        import torch

        machine["torch threads"] = torch.get_num_threads()
        machine["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none, using the CPU"
    except Exception as error:
        packages["torch"] = f"fails to load: {one_line(error)}"
    return {"machine": machine, "packages": packages, "models": _models()}


def _models() -> dict[str, Any]:
    """Which models are installed, and where things are kept."""
    from gpoa.errors import ModelError
    from gpoa.models import store, zoo
    from gpoa.runtime.machine import default_cache_folder

    root = store.checkpoints_root(None)
    found: dict[str, Any] = {"checkpoints": root, "embedding cache": default_cache_folder()}
    for name in zoo.ZOO:
        try:
            found[name] = store.model_path(name, root)
        except ModelError:
            found[name] = "not here; fetched on first use"
    return {name: str(value) for name, value in found.items()}
