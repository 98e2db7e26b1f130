"""Generate initial point prompts for every target image, given one reference image and its mask.

Writes NAME.json, NAME.npz (score map, dense prompt) and pictures/NAME.jpg for each target.

example:
  gpoa prompts --reference ref.png --mask ref_mask.png --targets images/ --output initial_prompts/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, build_segmenter, finish, open_cache, parse, print_masks
from gpoa.cli.marks import MarkArgs, reference_masks
from gpoa.config import GpoaConfig
from gpoa.datasets.options import MaskOptions


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa prompts`."""

    reference: tuple[Path, ...]
    """Reference image(s)."""
    targets: tuple[Path, ...]
    """Target images: folder(s) or files."""
    mask: tuple[Path, ...] = ()
    """Mask of each reference image (non-zero = object); or point at the object with --points or --box."""
    marks: Annotated[MarkArgs, tyro.conf.arg(name="")] = field(default_factory=MarkArgs)
    output: Path = Path("initial_prompts")
    """Output folder for the prompt files."""
    mask_options: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    recursive: bool = False
    """Include subfolders; the output mirrors them."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "prompts", __doc__, argv)
    from gpoa.datasets.targets import find_targets
    from gpoa.pipeline.folder import run_prompts

    models = (args.config, open_cache(args.cache))
    masks = reference_masks(args.reference, args.mask, args.marks, models, args.output)
    print_masks(args.reference, masks, args.mask_options, args.json)
    targets = find_targets(args.targets, args.recursive, (*args.reference, *masks))
    segmenter = build_segmenter(args.config, args.cache).fit(args.reference, masks, args.mask_options)
    report = run_prompts(segmenter, targets, args.output)
    return finish(report, {"prompts": args.output, "pictures": args.output / "pictures"}, args.json)
