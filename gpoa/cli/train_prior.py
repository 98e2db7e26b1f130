"""Trains the prior: the network that says where the object is, from how a target compares with the reference.

The data folders hold <class>/images and <class>/masks. Maps of all pairs are computed once and kept in the run's
folder; a share of the sets (the first part of a class's name) validates. The run's folder gets prior.pt, last.pt (to go
on from), metrics.jsonl and events/ (TensorBoard).

examples:
  gpoa train prior --data classes/ --output runs/prior --train.updates 500
  gpoa train prior --data bench/ more/ --split bench/split.json more/split.json --output runs/prior
  gpoa run ... --matching.prior runs/prior/prior.pt
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpoa.cli.common import CacheArgs, open_cache, parse
from gpoa.config import GpoaConfig, PriorTrainConfig
from gpoa.errors import ConfigError

if TYPE_CHECKING:
    from gpoa.datasets.classes import LabelledClass


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa train prior`."""

    data: tuple[Path, ...]
    """Folders of classes."""
    output: Path = Path("runs/prior")
    """The run's folder."""
    split: tuple[Path, ...] = ()
    """A JSON file for each data folder that lists the classes to use; default: all classes."""
    list: str = "train"
    """Which list of the split files."""
    images: int = 4
    """Images of a class, at most, evenly spaced by name."""
    emphasis: tuple[float, ...] = ()
    """How much more often the classes of each data folder are drawn, one number a folder; default: all alike."""
    validation: float = 0.15
    """Share of the sets that validate."""
    resume: bool = False
    """Resume from last.pt in the output folder."""
    start_from: Path | None = None
    """Begin with the weights of this prior instead of random ones."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    train: PriorTrainConfig = field(default_factory=PriorTrainConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "train prior", __doc__, argv)
    from tqdm import tqdm

    from gpoa.datasets.classes import load_many
    from gpoa.pipeline.backbones import Backbones
    from gpoa.rl.prior_training import PriorRun

    classes = load_many(args.data, args.split, args.list, args.images)
    backbones = Backbones(args.config, open_cache(args.cache))
    emphasis = _emphasis(args, classes)
    run = PriorRun(args.output, backbones, classes, args.train, args.images, args.validation, emphasis=emphasis)
    quiet = not sys.stderr.isatty()
    for _ in tqdm(run.prepare(), total=len(run.pairs.pairs), unit="pair", disable=quiet):
        pass
    with tqdm(total=args.train.updates, unit="update", disable=quiet) as bar:
        for scalars in run.train(args.resume, args.start_from):
            bar.update()
            if "eval/iou" in scalars:
                iou, mixture = scalars["eval/iou"], scalars["eval/mixture"]
                bar.write(f"validation: IoU {iou:.3f}; {mixture:.3f} without learning")
    print(f"prior: {args.output / 'prior.pt'}")
    return 0


def _emphasis(args: Args, classes: Sequence[LabelledClass]) -> dict[str, float]:
    """Class -> the number of its data folder; ConfigError where there are not as many numbers as folders."""
    if not args.emphasis:
        return {}
    if len(args.emphasis) != len(args.data) or min(args.emphasis) <= 0:
        raise ConfigError(f"--emphasis: {len(args.data)} numbers above 0 are needed, one for each data folder")
    weighed = list(zip(args.data, args.emphasis, strict=True))
    return {
        one.name: next(weight for folder, weight in weighed if one.samples[0].image_path.is_relative_to(folder))
        for one in classes
    }
