"""Report the Python version, packages, devices, models and folders that gpoa finds on this machine; or, given image
files, how gpoa reads them.

examples:
  gpoa doctor
  gpoa doctor stack.tif scan.dcm
  gpoa doctor stack.tif --channels 0 2 1 --thumbnails seen/
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gpoa.cli.common import ReadingArgs, parse
from gpoa.config import GpoaConfig
from gpoa.errors import GpoaError, one_line

if TYPE_CHECKING:
    import numpy as np

PACKAGES = (
    "torch", "torch-geometric", "segment-anything", "transformers", "numpy", "scipy", "pillow",
    "onnx", "onnxruntime", "safetensors", "tyro", "tifffile",
)  # fmt: skip


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa doctor`."""

    images: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Image files to look at: size, type, pages, channels, the window that becomes black and white, a thumbnail."""
    reading: Annotated[ReadingArgs, tyro.conf.arg(name="")] = field(default_factory=ReadingArgs)
    thumbnails: Path | None = None
    """Also save what was read, at most 512 pixels wide or high, as PNG files in this folder."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns 0 when gpoa can run here, 1 when a package is missing or does not load, or an image cannot
    be read."""
    args = parse(Args, "doctor", __doc__, argv)
    if args.images:
        return look_at(args)
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


def look_at(args: Args) -> int:
    """Prints what is read of each image; returns 1 when one cannot be read."""
    from gpoa.datasets.describe import describe_image, draw_text
    from gpoa.datasets.image_io import load_image

    reading, broken, found = args.reading.applied(GpoaConfig()).reading, False, {}
    for path in args.images:
        try:
            facts, image = describe_image(path, reading), load_image(path, reading)
        except GpoaError as error:
            broken, found[str(path)] = True, {"error": str(error)}
            print(f"gpoa doctor: {error}", file=sys.stderr)
            continue
        found[str(path)] = facts
        if args.thumbnails is not None:
            _save_thumbnail(args.thumbnails / f"{path.name}.png", image)
        if not args.json:
            print(path, *(f"  {name:<18} {value}" for name, value in facts.items()), draw_text(image), sep="\n")
    if args.json:
        print(json.dumps(found))
    return int(broken)


def _save_thumbnail(path: Path, image: np.ndarray) -> None:
    """Writes an [H, W, 3] uint8 image as a small PNG."""
    from PIL import Image

    from gpoa.runtime.atomic import write_atomic

    picture, content = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((512, 512))
    picture.save(content, format="PNG")
    write_atomic(path, content.getvalue())


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
