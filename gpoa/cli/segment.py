"""Segment images with the prompts in a folder.

Writes masks/NAME.png (0/255, original size), overlays and a contact sheet to --output.

example:
  gpoa segment --prompts optimized_prompts/ --targets images/ --output out/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, build_segmenter, finish, parse
from gpoa.config import GpoaConfig
from gpoa.datasets.options import CocoFile, CocoFormat


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa segment`."""

    prompts: Path
    """Folder of prompt files."""
    targets: tuple[Path, ...]
    """Images that the prompts belong to: folder(s) or files."""
    output: Path
    """Output folder for masks and overlays."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    coco: bool = False
    """Write all masks to coco.json as well."""
    coco_format: CocoFormat = "polygon"
    """Segmentations in coco.json: polygons, which annotation tools edit, or run lengths (smaller for ragged masks)."""
    recursive: bool = False
    """Include subfolders; the output mirrors them."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "segment", __doc__, argv)
    from gpoa.datasets.targets import find_targets
    from gpoa.pipeline.folder import run_segment

    targets = find_targets(args.targets, args.recursive)
    coco = args.output / "coco.json"
    segmenter = build_segmenter(args.config, args.cache)
    coco_asked = CocoFile(coco, args.coco_format) if args.coco else None
    report = run_segment(segmenter, targets, args.prompts, args.output, coco_asked)
    places = {"masks": args.output / "masks", "pictures": args.output / "contact_sheet.jpg", "coco": coco}
    return finish(report, places, args.json)
