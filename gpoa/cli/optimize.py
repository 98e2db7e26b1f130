"""Optimise prompt files without ground truth, within a budget of mask decoder calls per image.

The best prompt set is chosen by the quality head of the trained policy or, with best-of-n and greedy, by a score that
needs no training.

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
    """Folder of prompt files, from `gpoa prompts` or your own."""
    targets: tuple[Path, ...]
    """Images that the prompts belong to: folder(s) or files."""
    output: Path = Path("optimized_prompts")
    """Output folder for the optimised prompt files."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    strategy: StrategyName | None = None
    """Prompt optimisation, none to skip it (same as --optimize.strategy)."""
    budget: int | None = None
    """Mask decoder calls per image (same as --optimize.budget)."""
    trace: bool = False
    """Write pictures and animations of the optimisation to traces/."""
    recursive: bool = False
    """Include subfolders; the output mirrors them."""
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
