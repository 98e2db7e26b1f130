"""Trains an agent of Stable-Baselines3 (PPO, A2C, DQN, MaskablePPO) that adds and removes point prompts.

The data folders hold <class>/images and <class>/masks, or training/ and testing/ with images, masks and prompts. The
run's folder gets policy.zip (opened by stable_baselines3 and by gpoa run), best/ and evaluations/ (EvalCallback),
checkpoints/ (to go on from), train_masks/, metrics.jsonl and events/ (TensorBoard). Needs `pip install gpoa[sb3]`.

examples:
  gpoa train sb3 --algo maskable-ppo --data classes/ --output runs/sb3
  gpoa train sb3 --algo dqn --data bubbles/ --output runs/dqn --sb3.steps 50000
  gpoa run ... --strategy sb3 --optimize.policy runs/sb3/policy.zip
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpoa.cli.common import CacheArgs, open_cache, parse
from gpoa.config import GpoaConfig, Sb3Config, Sb3Name, TrackerName

if TYPE_CHECKING:
    from gpoa.datasets.classes import LabelledClass


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa train sb3`."""

    data: tuple[Path, ...]
    """Folders of classes, or one folder with training/ and testing/."""
    algo: Sb3Name = "maskable-ppo"
    """Algorithm. maskable-ppo never takes an action that is not there; the others learn not to."""
    output: Path = Path("runs/sb3")
    """The run's folder."""
    split: tuple[Path, ...] = ()
    """A JSON file for each data folder that lists the classes to use; default: all classes."""
    list: str = "train"
    """Which list of the split files."""
    validation: float = 0.15
    """Share of the sets (the first part of a class's name) that validate."""
    validation_sets: tuple[str, ...] = ()
    """Sets that validate, instead of a share."""
    resume: bool = False
    """Resume from the newest file in checkpoints/ of the output folder."""
    trackers: tuple[TrackerName, ...] = ()
    """Additional experiment trackers; each needs its package."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    sb3: Sb3Config = field(default_factory=Sb3Config)
    cache: CacheArgs = field(default_factory=CacheArgs)


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "train sb3", __doc__, argv)
    from tqdm import tqdm

    from gpoa.pipeline.image import ImagePipeline
    from gpoa.policies.sb3_policy import algorithm_class
    from gpoa.rl.bubble_episodes import BubbleEpisodes, draw_pairs, validation_pairs, without_guard
    from gpoa.rl.sb3_training import Sb3Run, check_folder

    algorithm_class(args.algo)  # missing packages are told before anything is loaded
    check_folder(args.output, args.resume)
    train, held = _classes(args)
    pipeline = ImagePipeline(without_guard(args.config), open_cache(args.cache))
    plans = (draw_pairs(train, args.sb3.pairs, args.sb3.seed), validation_pairs(held, args.sb3.eval_pairs))
    episodes = tuple(BubbleEpisodes(pipeline, pairs, args.sb3) for pairs in plans)
    quiet = not sys.stderr.isatty()
    for part in episodes:
        for _ in tqdm(part.open(), total=len(part.pairs), unit="pair", disable=quiet):
            pass
    run = Sb3Run(
        args.output,
        args.algo,
        args.sb3,
        args.config,
        (episodes[0], episodes[1]),
        pipeline.backbones.ids,
        args.trackers,
    )
    with tqdm(total=args.sb3.steps, unit="step", disable=quiet) as bar:
        path = run.start(args.resume, lambda step: bar.update(step - bar.n))
    print(f"policy: {path}")
    return 0


def _classes(args: Args) -> tuple[list[LabelledClass], list[LabelledClass]]:
    """Training and validation classes."""
    from gpoa.datasets.bubble_layout import is_bubble_layout, load_bubble_layout
    from gpoa.datasets.classes import load_many, split_classes
    from gpoa.errors import ConfigError
    from gpoa.rl.prior_pairs import set_of
    from gpoa.rl.prior_training import split_by_set

    if len(args.data) == 1 and is_bubble_layout(args.data[0]):
        return load_bubble_layout(args.data[0], args.sb3.images)
    classes = load_many(args.data, args.split, args.list, args.sb3.images)
    names = [one.name for one in classes]
    unknown = set(args.validation_sets) - {set_of(name) for name in names}
    if unknown:
        raise ConfigError(f"--validation-sets {' '.join(sorted(unknown))}: no such set among the classes")
    if args.validation_sets:
        validating = {name for name in names if set_of(name) in args.validation_sets}
    else:
        validating = set(split_by_set(names, args.validation, args.sb3.seed)[1])
    train = [one for one in classes if one.name not in validating]
    if not train or not validating:
        return split_classes(classes, None)  # a single set: some of its classes, or images, validate
    return train, [one for one in classes if one.name in validating]
