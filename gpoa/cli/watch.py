"""Segment images as they arrive in a folder: from a microscope, a camera, an inspection line.

Writes what `gpoa run` writes; a line for each image says how long after its arrival the mask was there. End it with
ctrl-C; begun again, it goes on where it was.

examples:
  gpoa watch incoming/ --reference ref.png --mask ref_mask.png --output out/
  gpoa watch incoming/ --reference ref.png --points 120,80 --output out/ --idle 600
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpoa.cli.common import CacheArgs, ReadingArgs, build_segmenter, open_cache, parse, print_masks, with_shortcuts
from gpoa.cli.marks import MarkArgs, reference_masks
from gpoa.config import GpoaConfig, StrategyName
from gpoa.datasets.options import MaskOptions

if TYPE_CHECKING:
    from gpoa.pipeline.progress import Item, Report

SHOWN = ("folder", "reference", "mask", "points", "box", "output", "every", "idle", "recursive", "strategy", "json")
"""The options that `-h` prints."""


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa watch`."""

    folder: Path
    """Folder in which images arrive; may stand first, without --folder."""
    reference: tuple[Path, ...]
    """Reference image(s)."""
    output: Path
    """Output folder."""
    mask: tuple[Path, ...] = ()
    """Mask of each reference image (non-zero = object); or point at the object with --points or --box."""
    marks: Annotated[MarkArgs, tyro.conf.arg(name="")] = field(default_factory=MarkArgs)
    every: float = 0.5
    """Seconds between two looks into the folder."""
    idle: float | None = None
    """End after this many seconds without a new image; default: never."""
    mask_options: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    strategy: StrategyName | None = None
    """Prompt optimisation, none to skip it (same as --optimize.strategy)."""
    reading: Annotated[ReadingArgs, tyro.conf.arg(name="")] = field(default_factory=ReadingArgs)
    recursive: bool = False
    """Include subfolders; the output mirrors them."""
    json: bool = False
    """Print one JSON object for each image."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status: 0, or 1 where an image failed."""
    if argv and not argv[0].startswith("-"):
        argv = ["--folder", *argv]
    args = parse(Args, "watch", __doc__ or "", argv, SHOWN)
    from gpoa.errors import ConfigError
    from gpoa.pipeline.watching import Watched, watch

    if not args.every > 0 or (args.idle is not None and not args.idle > 0):
        raise ConfigError("--every and --idle: more than 0 seconds")
    config = args.reading.applied(with_shortcuts(args.config, args.strategy, None))
    masks = reference_masks(args.reference, args.mask, args.marks, (config, open_cache(args.cache)), args.output)
    print_masks(args.reference, masks, args.mask_options, args.json)
    segmenter = build_segmenter(config, args.cache).fit(args.reference, masks, args.mask_options)
    watched = Watched(args.folder, args.output, args.recursive, (*args.reference, *masks), args.every)
    latencies: list[float] = []

    def tell(item: Item, latency: float) -> None:
        if item.status in ("ok", "absent"):
            latencies.append(latency)
        _print(item, latency, args.json)

    command = shlex.join(["gpoa", "watch", *argv])
    report = watch(segmenter, watched, tell, _patience(args.idle), command)
    if not args.json:
        print(report.summary())
        _print_latencies(latencies)
    return int(report.count("failed") > 0 or bool(report.unwritten))


def _patience(idle: float | None) -> Callable[[Report], bool]:
    """Whether to look again: until nothing has come for so many seconds."""
    import time

    seen, since = -1, time.monotonic()

    def go_on(report: Report) -> bool:
        nonlocal seen, since
        if len(report.items) != seen:
            seen, since = len(report.items), time.monotonic()
        return idle is None or time.monotonic() - since < idle

    return go_on


def _print(item: Item, latency: float, as_json: bool) -> None:
    """The line of an image."""
    import json

    if as_json:
        print(json.dumps({**item.plain, "latency": round(latency, 3)}, ensure_ascii=False), flush=True)
        return
    said = item.error if item.status == "failed" else "" if item.confidence is None else f"{item.confidence:.2f}"
    when = "" if item.status == "kept" else f"   {latency:.2f} s after it was seen, {item.seconds:.2f} s of work"
    print(f"{item.stem}   {item.status}   {said}{when}", flush=True)


def _print_latencies(latencies: Sequence[float]) -> None:
    """Median and the 90th percentile."""
    if latencies:
        ordered = sorted(latencies)
        middle, high = (ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.9))
        print(f"  latency    median {middle:.2f} s, 90 % within {high:.2f} s, of {len(ordered)} images")
