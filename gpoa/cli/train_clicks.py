"""Trains a click agent: the network that says what a further click would gain, on labelled classes.

The data folders hold <class>/images and <class>/masks; of each class the first image is the prior's reference, and the
others are clicked on. A share of the sets (the first part of a class's name) validates. The run's folder gets agent.pt
(best on the validation classes), metrics.jsonl and events/ (TensorBoard); with an algorithm of Stable-Baselines3,
model.zip.

examples:
  gpoa train clicks --data classes/ --output runs/clicks
  gpoa train clicks --data bench/ --split bench/split.json --agent explicit --train.rounds 4
  gpoa train clicks --data classes/ --algorithm maskable-ppo --steps 20000
  gpoa click IMAGE --first-click 120,80 --agent runs/clicks/agent.pt --output out/
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gpoa.cli.common import CacheArgs, open_cache, parse
from gpoa.config import GpoaConfig
from gpoa.config.clicks import ClickEnvConfig, ClickTrainConfig


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa train clicks`."""

    data: tuple[Path, ...]
    """Folders of classes."""
    output: Path = Path("runs/clicks")
    """The run's folder."""
    split: tuple[Path, ...] = ()
    """A JSON file for each data folder that lists the classes to use; default: all classes."""
    list: str = "train"
    """Which list of the split files."""
    images: int = 3
    """Images of a class, at most, the reference included, evenly spaced by name."""
    validation: float = 0.15
    """Share of the sets that validate."""
    agent: Literal["relational", "implicit", "explicit"] = "relational"
    """What the network reads: relations only, SAM's embedding, or that and the prior."""
    algorithm: Literal["gains", "maskable-ppo", "ppo", "a2c"] = "gains"
    """Regression of the clicks' gains, or an algorithm of Stable-Baselines3 with its CNN (extra `sb3`)."""
    steps: int = 20_000
    """Environment steps of an algorithm of Stable-Baselines3."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    train: ClickTrainConfig = field(default_factory=ClickTrainConfig)
    env: ClickEnvConfig = field(default_factory=ClickEnvConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "train clicks", __doc__, argv)
    from tqdm import tqdm

    from gpoa.datasets.classes import load_many
    from gpoa.pipeline.image import ImagePipeline
    from gpoa.rl.click_run import ClickRun
    from gpoa.rl.click_scenes import load_scenes

    classes = load_many(args.data, args.split, args.list, args.images)
    pipeline = ImagePipeline(args.config, open_cache(args.cache))
    total = sum(len(one.samples) - 1 for one in classes)
    quiet = not sys.stderr.isatty()
    scenes = list(tqdm(load_scenes(pipeline, classes), total=total, unit="scene", disable=quiet))
    segmenter = pipeline.backbones.segmenter
    if args.algorithm != "gains":
        from gpoa.rl.click_sb3 import train_sb3

        train_sb3(args.algorithm, scenes, segmenter, args.env, args.steps, args.output, args.train.seed)
        print(f"agent: {args.output / 'model.zip'}")
        return 0
    run = ClickRun(args.output, scenes, segmenter, args.agent, args.train, args.validation)
    for number, scalars in enumerate(run.run(), 1):
        print(
            f"round {number}: belief loss {scalars['train/belief_loss']:.3f}, "
            f"gain loss {scalars['train/gain_loss']:.3f}, "
            f"validation: Dice {scalars['eval/gain']:+.3f} over click 1",
            flush=True,
        )
    print(f"agent: {args.output / 'agent.pt'} (validation {run.best:+.3f})")
    return 0
