"""Segments every image of a folder after one labelled example.

Writes masks/<stem>.png (0/255, original size), overlays, prompt files and a contact sheet below --output. A second run
with the same settings keeps what is there; ctrl-C loses nothing that was done.

examples:
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/
  gpoa run --reference a.png b.png --mask a_mask.png b_mask.png --targets images/ --output out/
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/ --strategy none
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/ --devices cuda:0 cuda:1
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpoa.cli.common import CacheArgs, build_segmenter, finish, open_cache, parse, print_masks, with_shortcuts
from gpoa.config import GpoaConfig, StrategyName
from gpoa.datasets.options import CocoFile, CocoFormat, MaskOptions

if TYPE_CHECKING:
    from gpoa.pipeline.progress import Report
    from gpoa.types import Sample


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
    mask_options: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    strategy: StrategyName | None = None
    """Short for --optimize.strategy."""
    budget: int | None = None
    """Short for --optimize.budget: decoder calls an image."""
    processes: int = 1
    """Processes that share the images, each with models (and memory for them) of its own and an equal part of the
    cores; masks are the same."""
    devices: tuple[str, ...] = ()
    """One process on each of these (cuda:0 cuda:1); default: --processes of them on --models.device."""
    coco: bool = False
    """Also write coco.json with all masks."""
    coco_format: CocoFormat = "polygon"
    """Segmentations in coco.json: polygons, which annotation tools edit, or run lengths (smaller for ragged masks)."""
    trace: bool = False
    """Also write traces/: pictures and animations of what was tried on each image."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "run", __doc__, argv)
    config = with_shortcuts(args.config, args.strategy, args.budget)
    from gpoa.datasets.folder import find_samples
    from gpoa.datasets.shots import say_left_out, without_references
    from gpoa.pipeline.outputs import prepare_folder
    from gpoa.pipeline.workers import Job, choose_devices, run_parallel

    # Mistakes in the arguments are told before the models are loaded.
    devices = choose_devices(args.processes, args.devices, config.models.device)
    samples = find_samples(args.targets)
    print_masks(args.reference, args.mask, args.mask_options, args.json)
    kept, left_out = without_references(samples, args.reference, args.mask)
    if left_out:
        print(say_left_out(left_out, len(samples)), file=sys.stderr if args.json else sys.stdout)
        samples = find_samples([sample.image_path for sample in kept])
    prepare_folder(args.output)
    coco = args.output / "coco.json"
    coco_asked = CocoFile(coco, args.coco_format) if args.coco else None
    command = shlex.join(["gpoa", "run", *argv])
    if len(devices) > 1 and len(samples) > 1:
        shots = (args.reference, args.mask)
        job = Job(config, open_cache(args.cache), *shots, samples, args.output, args.trace, args.mask_options)
        report = run_parallel(job, devices, coco_asked, command)
    else:
        alone = replace(config, models=replace(config.models, device=devices[0]))
        report = _run_alone(args, alone, samples, coco_asked, command)
    places = {"masks": args.output / "masks", "overlays": args.output / "overlays"}
    places |= {"pictures": args.output / "contact_sheet.jpg", "coco": coco, "traces": args.output / "traces"}
    return finish(report, places, args.json)


def _run_alone(
    args: Args, config: GpoaConfig, samples: Sequence[Sample], coco: CocoFile | None, command: str
) -> Report:
    """The run in this process."""
    from gpoa.pipeline.folder import run_folder

    segmenter = build_segmenter(config, args.cache).fit(args.reference, args.mask, args.mask_options)
    targets = [sample.image_path for sample in samples]
    return run_folder(segmenter, targets, args.output, coco, command, args.trace)
