"""Train a prompt optimisation policy on classes of labelled images, evaluated on held-out classes.

The data folder holds CLASS/images and CLASS/masks. The output folder receives policy.pt (best held-out IoU), last.pt
(to resume), metrics.jsonl, events/ (TensorBoard) and config.json. `gpoa train prior -h` trains the prior instead,
`gpoa train sb3 -h` an agent of Stable-Baselines3.

example:
  gpoa train --data classes/ --split split.json --output runs/first --train.updates 200
  gpoa optimize --prompts initial_prompts/ --targets images/ --strategy agent --optimize.policy runs/first/policy.pt
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, open_cache, parse
from gpoa.config import GpoaConfig, PolicyConfig, TrackerName, TrainConfig


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa train`."""

    data: Path
    """Folder of classes."""
    output: Path = Path("runs/agent")
    """Output folder."""
    split: Path | None = None
    """JSON file with two lists of class names, `train` and `held_out`; default: every fourth class is held out."""
    train_list: str = "train"
    """List of the split file to train on."""
    resume: Path | None = None
    """Resume from this last.pt, or from the folder that holds it."""
    trackers: tuple[TrackerName, ...] = ()
    """Additional experiment trackers; each needs its package."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    json: bool = False
    """Print one line of JSON per update instead of a progress bar."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    if argv and argv[0] == "prior":
        from gpoa.cli.train_prior import main as train_prior

        return train_prior(argv[1:])
    if argv and argv[0] == "sb3":
        from gpoa.cli.train_sb3 import main as train_sb3

        return train_sb3(argv[1:])
    args = parse(Args, "train", __doc__, argv)
    from gpoa.datasets.classes import load_classes, read_split, split_classes
    from gpoa.rl.training import TrainingRun

    names = None
    if args.split is not None:
        lists = read_split(args.split, args.train_list)
        names = lists["train"] + lists["held_out"]
    classes = split_classes(load_classes(args.data, names, args.train.images), args.split, args.train_list)
    run = TrainingRun(
        args.output, args.config, args.policy, args.train, classes, open_cache(args.cache), args.trackers
    )
    resume = args.resume / "last.pt" if args.resume is not None and args.resume.is_dir() else args.resume
    _follow(run.start(resume), args.train.updates, args.json)
    print(f"policy: {args.output / 'policy.pt'} (best held-out IoU {run.trainer.best:.3f})")
    return 0


def _follow(updates, total: int, as_json: bool) -> None:
    """Shows how the run goes on."""
    from tqdm import tqdm

    with tqdm(total=total, unit="update", disable=as_json or not sys.stderr.isatty()) as bar:
        for update in updates:
            if as_json:
                print(json.dumps(update.scalars), flush=True)
            if update.seconds:
                bar.update()
            if "eval/final" in update.scalars:
                start, final, worse = (update.scalars[f"eval/{name}"] for name in ("start", "final", "worse"))
                bar.write(f"held out: IoU {start:.3f} -> {final:.3f}, {100 * worse:.0f} % of the images made worse")
