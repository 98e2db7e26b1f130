"""Segments every image of a folder after one labelled example.

Writes masks/<stem>.png (0/255, original size), overlays, prompt files and a contact sheet below --output. A second run
with the same settings keeps what is there; ctrl-C loses nothing that was done.

examples:
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/
  gpoa run --reference a.png b.png --mask a_mask.png b_mask.png --targets images/ --output out/
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/ --strategy none
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, build_segmenter, finish, parse, with_shortcuts
from gpoa.config import GpoaConfig, StrategyName


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa run`."""

    reference: tuple[Path, ...]
    """The labelled image, or several."""
    mask: tuple[Path, ...]
    """Its mask (non-zero = object), or as many as there are images."""
    targets: tuple[Path, ...]
    """Folder of images to segment, or image files."""
    output: Path
    """Folder for everything that is written."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    strategy: StrategyName | None = None
    """Short for --optimize.strategy."""
    budget: int | None = None
    """Short for --optimize.budget: decoder calls an image."""
    coco: bool = False
    """Also write coco.json with all masks."""
    trace: bool = False
    """Also write traces/: pictures and animations of what was tried on each image."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "run", __doc__, argv)
    config = with_shortcuts(args.config, args.strategy, args.budget)
    from gpoa.batch import run_folder
    from gpoa.datasets.folder import find_samples
    from gpoa.outputs import prepare_folder

    # Mistakes in the arguments are told before the models are loaded.
    find_samples(args.targets)
    prepare_folder(args.output)
    segmenter = build_segmenter(config, args.cache).fit(args.reference, args.mask)
    coco = args.output / "coco.json"
    command = shlex.join(["gpoa", "run", *argv])
    report = run_folder(segmenter, args.targets, args.output, coco if args.coco else None, command, args.trace)
    places = {"masks": args.output / "masks", "overlays": args.output / "overlays"}
    places |= {"pictures": args.output / "contact_sheet.jpg", "coco": coco, "traces": args.output / "traces"}
    return finish(report, places, args.json)
