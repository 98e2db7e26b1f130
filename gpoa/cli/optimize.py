"""Improves prompt files without ground truth, under one budget of decoder calls an image.

The best set seen is kept, by the quality head of the trained policy, or by an untrained judge (none of which beats the start).

example:
  gpoa optimize --prompts initial_prompts/ --targets images/ --output optimized_prompts/ --budget 4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, build_segmenter, finish, parse, with_shortcuts
from gpoa.config import GpoaConfig, StrategyName


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa optimize`."""

    prompts: Path
    """Folder of prompt files from `gpoa prompts`, or of your own."""
    targets: tuple[Path, ...]
    """The images that the prompts are for."""
    output: Path = Path("optimized_prompts")
    """Folder for the improved prompt files."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    strategy: StrategyName | None = None
    """Short for --optimize.strategy."""
    budget: int | None = None
    """Short for --optimize.budget: decoder calls an image."""
    trace: bool = False
    """Also write traces/: pictures and animations of what was tried on each image."""
    recursive: bool = False
    """Also take the images in subfolders; the output has the same subfolders."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "optimize", __doc__, argv)
    config = with_shortcuts(args.config, args.strategy, args.budget)
    from gpoa.datasets.targets import find_targets
    from gpoa.pipeline.folder import run_optimize

    targets = find_targets(args.targets, args.recursive)
    report = run_optimize(build_segmenter(config, args.cache), targets, args.prompts, args.output, args.trace)
    return finish(report, {"prompts": args.output, "traces": args.output / "traces"}, args.json)
