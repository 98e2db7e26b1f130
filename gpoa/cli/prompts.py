"""Makes the initial prompts of every target from one labelled example.

Writes <stem>.json and <stem>.npz (score map, dense prompt) and pictures/<stem>.jpg for each target.

example:
  gpoa prompts --reference ref.png --mask ref_mask.png --targets images/ --output initial_prompts/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, build_segmenter, finish, parse
from gpoa.config import GpoaConfig


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa prompts`."""

    reference: tuple[Path, ...]
    """The labelled image, or several."""
    mask: tuple[Path, ...]
    """Its mask (non-zero = object), or as many as there are images."""
    targets: tuple[Path, ...]
    """Folder of images, or image files."""
    output: Path = Path("initial_prompts")
    """Folder for the prompt files."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    recursive: bool = False
    """Also take the images in subfolders; the output has the same subfolders."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "prompts", __doc__, argv)
    from gpoa.datasets.targets import find_targets
    from gpoa.pipeline.folder import run_prompts

    targets = find_targets(args.targets, args.recursive, (*args.reference, *args.mask))
    segmenter = build_segmenter(args.config, args.cache).fit(args.reference, args.mask)
    report = run_prompts(segmenter, targets, args.output)
    return finish(report, {"prompts": args.output, "pictures": args.output / "pictures"}, args.json)
