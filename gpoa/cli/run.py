"""Segment every image of a folder, given one reference image and its mask (or points on the object).

Writes masks/NAME.png (0/255, original size), overlays, prompt files and a contact sheet to --output. Running the same
command again resumes: finished images are kept. Ctrl-C is safe.

examples:
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/
  gpoa run --reference ref.png --points 120,80 300,200 --not 10,10 --targets images/ --output out/
  gpoa run --reference a.png b.png --mask a_mask.png b_mask.png --targets images/ --output out/
  gpoa run --reference cat.png dog.png --mask cat_m.png dog_m.png --class cat dog --targets images/ --output out/
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/ --strategy none
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/ --devices cuda:0 cuda:1
  gpoa run --reference ref.tif --mask ref_labels.tif --targets images/ --output out/ --instances --pixel-size 0.65um
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gpoa.cli.classes import ClassArgs, class_shots
from gpoa.cli.common import (
    CacheArgs,
    ReadingArgs,
    build_segmenter,
    finish,
    open_cache,
    parse,
    print_masks,
    with_shortcuts,
)
from gpoa.cli.marks import MarkArgs, reference_masks
from gpoa.config import GpoaConfig, StrategyName
from gpoa.datasets.options import CocoFile, CocoFormat, MaskOptions

if TYPE_CHECKING:
    from gpoa.datasets.targets import Targets
    from gpoa.pipeline.progress import Report
    from gpoa.pipeline.workers import Job


SHOWN = (
    *("reference", "mask", "points", "box", "targets", "output", "recursive", "instances", "pixel-size"),
    *("strategy", "budget"),
    *("processes", "devices", "coco", "trace", "json"),
)
"""The options that `-h` prints."""


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa run`."""

    reference: tuple[Path, ...]
    """Reference image(s)."""
    targets: tuple[Path, ...]
    """Images to segment: folder(s) or files."""
    output: Path
    """Output folder."""
    mask: tuple[Path, ...] = ()
    """Mask of each reference image (non-zero = object); or point at the object with --points or --box."""
    marks: Annotated[MarkArgs, tyro.conf.arg(name="")] = field(default_factory=MarkArgs)
    classes: Annotated[ClassArgs, tyro.conf.arg(name="")] = field(default_factory=ClassArgs)
    mask_options: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    instances: bool = False
    """Tell objects apart: a label image, measurements (objects.csv) and counts for every image. --mask may be a label
    image."""
    pixel_size: str | None = None
    """With --instances: size of a pixel, such as 0.65um, for physical units; default: what a TIFF says of itself."""
    strategy: StrategyName | None = None
    """Prompt optimisation, none to skip it (same as --optimize.strategy)."""
    budget: int | None = None
    """Mask decoder calls per image (same as --optimize.budget)."""
    reading: Annotated[ReadingArgs, tyro.conf.arg(name="")] = field(default_factory=ReadingArgs)
    processes: int = 1
    """Number of processes; each loads its own models and gets an equal share of the cores. Masks do not change."""
    devices: tuple[str, ...] = ()
    """Run one process per device, for example cuda:0 cuda:1."""
    coco: bool = False
    """Write all masks to coco.json as well."""
    coco_format: CocoFormat = "polygon"
    """Segmentations in coco.json: polygons, which annotation tools edit, or run lengths (smaller for ragged masks)."""
    masks: Literal["png", "tiff"] = "png"
    """tiff: write masks_tiff/ as well, one file per image, page for page, georeferenced as the image is."""
    trace: bool = False
    """Write pictures and animations of the optimisation to traces/."""
    keep_reference: bool = False
    """Write initial_prompts/reference.gpoa.npz (4 MB), which `gpoa optimize` needs to improve these prompts again."""
    recursive: bool = False
    """Include subfolders; the output mirrors them."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "run", __doc__, argv, SHOWN)
    config = args.reading.applied(with_shortcuts(args.config, args.strategy, args.budget))
    from gpoa.datasets.mask_stack import write_mask_tiffs
    from gpoa.datasets.pages import expand_pages, with_run_window
    from gpoa.datasets.targets import find_targets
    from gpoa.pipeline.outputs import prepare_folder
    from gpoa.pipeline.workers import choose_devices, run_parallel

    # Mistakes in the arguments are told before the models are loaded.
    _check_instances(args)
    devices = choose_devices(args.processes, args.devices, config.models.device)
    if args.classes.given:
        return _run_classes(args, replace(config, models=replace(config.models, device=devices[0])), argv)
    masks = reference_masks(args.reference, args.mask, args.marks, (config, open_cache(args.cache)), args.output)
    args = replace(args, mask=masks)
    print_masks(args.reference, args.mask, args.mask_options, args.json)
    targets = find_targets(args.targets, args.recursive, (*args.reference, *args.mask))
    targets = replace(targets, samples=expand_pages(targets.samples, config.reading))
    config = replace(config, reading=with_run_window(config.reading, args.reference, targets.samples))
    prepare_folder(args.output)
    if args.instances:
        return _run_instances(args, config, targets, shlex.join(["gpoa", "run", *argv]))
    coco = args.output / "coco.json"
    coco_asked = CocoFile(coco, args.coco_format) if args.coco else None
    command = shlex.join(["gpoa", "run", *argv])
    if len(devices) > 1 and len(targets.samples) > 1:
        job = _job(args, config, targets)
        report = run_parallel(job, devices, coco_asked, command)
    else:
        alone = replace(config, models=replace(config.models, device=devices[0]))
        report = _run_alone(args, alone, targets, coco_asked, command)
    if args.masks == "tiff":
        write_mask_tiffs(args.output / "masks", args.output / "masks_tiff", targets.samples)
    places = {"masks": args.output / "masks", "overlays": args.output / "overlays"}
    places |= {"pictures": args.output / "contact_sheet.jpg", "coco": coco, "traces": args.output / "traces"}
    places |= {"stacks": args.output / "masks_tiff"} if args.masks == "tiff" else {}
    return finish(report, places, args.json)


def _check_instances(args: Args) -> None:
    """Refuses flags that do not go together.

    Raises:
        ConfigError: says which.
    """
    from gpoa.errors import ConfigError
    from gpoa.instances.pixel_size import parse_pixel_size

    if args.pixel_size is not None:
        parse_pixel_size(args.pixel_size)
        if not args.instances:
            raise ConfigError("--pixel-size: only --instances measures; give both")
    if not args.instances:
        return
    rules = (
        (args.classes.given, "objects of one class at a time; leave --class and --class-names out"),
        (args.processes > 1 or len(args.devices) > 1, "works in one process; leave --processes and --devices out"),
        (args.trace or args.keep_reference, "has no --trace and no --keep-reference; leave them out"),
        (args.strategy is not None, "has one decoder call an object; leave --strategy out"),
        (args.budget is not None, "has one decoder call an object; leave --budget out"),
    )
    for broken, said in rules:
        if broken:
            raise ConfigError(f"--instances: {said}")


def _run_instances(args: Args, config: GpoaConfig, targets: Targets, command: str) -> int:
    """The run with --instances."""
    from gpoa.datasets.mask_stack import write_mask_tiffs
    from gpoa.instances.pixel_size import parse_pixel_size
    from gpoa.pipeline.instance_folder import InstanceRun, run_instances, tables_of
    from gpoa.pipeline.instances import InstanceSegmenter
    from gpoa.report.objects import write_object_report

    coco = CocoFile(args.output / "coco.json", args.coco_format) if args.coco else None
    pixel = None if args.pixel_size is None else parse_pixel_size(args.pixel_size)
    device = args.devices[0] if args.devices else config.models.device
    config = replace(config, models=replace(config.models, device=device))
    segmenter = InstanceSegmenter(build_segmenter(config, args.cache))
    segmenter.fit(args.reference, args.mask, args.mask_options)
    if not args.json:
        print(f"reference: {segmenter.sizes.describe()}")
    report = run_instances(segmenter, targets, InstanceRun(args.output, coco, pixel, command))
    stems = [item.stem for item in report.items if item.status != "failed"]
    write_object_report(args.output / "report.html", tables_of(args.output, stems), command)
    names = {"labels": "labels", "objects": "objects.csv", "counts": "counts.csv", "masks": "masks"}
    names |= {"overlays": "overlays", "pictures": "contact_sheet.jpg", "report": "report.html"}
    names |= {"coco": "coco.json"} if coco else {}
    if args.masks == "tiff":
        write_mask_tiffs(args.output / "masks", args.output / "masks_tiff", targets.samples)
        names |= {"stacks": "masks_tiff"}
    return finish(report, {name: args.output / place for name, place in names.items()}, args.json)


def _job(args: Args, config: GpoaConfig, targets: Targets) -> Job:
    """The run for several processes."""
    from gpoa.pipeline.workers import Job

    return Job(
        config,
        open_cache(args.cache),
        args.reference,
        args.mask,
        targets.samples,
        args.output,
        args.trace,
        mask_options=args.mask_options,
        notes=targets.notes,
        keep_reference=args.keep_reference,
    )


def _run_alone(args: Args, config: GpoaConfig, targets: Targets, coco: CocoFile | None, command: str) -> Report:
    """The run in this process."""
    from gpoa.pipeline.folder import run_folder

    segmenter = build_segmenter(config, args.cache).fit(args.reference, args.mask, args.mask_options)
    return run_folder(segmenter, targets, args.output, coco, command, args.trace, args.keep_reference)


def _run_classes(args: Args, config: GpoaConfig, argv: Sequence[str]) -> int:
    """The run with several classes; returns the exit status."""
    from gpoa.datasets.targets import find_targets
    from gpoa.errors import ConfigError
    from gpoa.pipeline.classes import ClassSegmenter, run_classes

    if args.marks.marks() is not None or not args.mask:
        raise ConfigError("--class and --class-names: give --mask; points and boxes make the mask of one class only")
    if args.processes > 1 or len(args.devices) > 1:
        raise ConfigError("--class and --class-names: run in one process; leave --processes and --devices out")
    if args.coco or args.trace or args.masks == "tiff":
        raise ConfigError("--coco, --masks tiff and --trace are for one class; `gpoa export` writes files of several")
    shots = class_shots(args.classes, args.reference, args.mask, args.mask_options, config.reading)
    targets = find_targets(args.targets, args.recursive, (*args.reference, *args.mask))
    segmenter = ClassSegmenter(config, open_cache(args.cache)).fit(shots)
    report = run_classes(segmenter, targets, args.output, shlex.join(["gpoa", "run", *argv]))
    places = {"labels": args.output / "labels", "overlays": args.output / "overlays"}
    return finish(report, {**places, "pictures": args.output / "contact_sheet.jpg"}, args.json)
