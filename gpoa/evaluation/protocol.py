"""The benchmark protocol of DESIGN section 7: which images, which means, which intervals.

For each class: up to three references (first, middle, last by name), every other image is a target (20 at most). Means are
taken over the images of a class, then over the classes of a set, then over the sets; intervals are paired bootstraps over
images within classes.

A row is a dict with `class`, `reference`, `image`, `method` and `iou`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.folder import find_samples
from gpoa.datasets.image_io import load_mask
from gpoa.types import Sample

SAMPLES = 2000
Row = Mapping[str, Any]


def class_episodes(folder: Path, references: int, targets: int) -> Iterable[tuple[Sample, list[Sample]]]:
    """The references of a class, each with its targets.

    Args:
        folder: holds `images` and `masks`.
        references: how many of first, middle and last are used.
        targets: at most this many, the first by name.
    """
    samples = sorted(find_samples(folder / "images"), key=lambda sample: sample.image_path.name)
    places = dict.fromkeys([0, len(samples) // 2, len(samples) - 1])
    for place in list(places)[:references]:
        others = [sample for index, sample in enumerate(samples) if index != place]
        yield samples[place], others[:targets]


def truth_of(sample: Sample) -> np.ndarray:
    """The ground truth beside an image, [H, W] bool."""
    return load_mask(sample.image_path.parent.parent / "masks" / f"{sample.image_path.stem}.png", allow_empty=True)


def by_class(rows: Sequence[Row], method: str) -> dict[str, np.ndarray]:
    """IoU of each class, images in one order for all methods."""
    grouped: dict[str, list[tuple]] = defaultdict(list)
    for row in rows:
        if row["method"] == method:
            grouped[row["class"]].append((row["reference"], row["image"], float(row["iou"])))
    return {name: np.array([value for _, _, value in sorted(values)]) for name, values in grouped.items()}


def class_means(rows: Sequence[Row], method: str) -> dict[str, float]:
    """Mean IoU of a method in each class."""
    return {name: float(values.mean()) for name, values in by_class(rows, method).items()}


def set_mean(means: Mapping[str, float]) -> float:
    """Mean over the classes of each set (the part of the name before the slash), then over the sets."""
    by_set: dict[str, list[float]] = defaultdict(list)
    for name, value in means.items():
        by_set[name.split("/")[0]].append(value)
    return float(np.mean([np.mean(values) for values in by_set.values()]))


def interval(rows: Sequence[Row], method: str, baseline: str, over_sets: bool = True) -> tuple[float, float]:
    """Paired bootstrap 95 % interval of the difference of two methods' means.

    Args:
        rows: of both methods, on the same images.
        method, baseline: which two.
        over_sets: mean over classes, then sets; else over classes only.
    """
    mine, theirs = by_class(rows, method), by_class(rows, baseline)
    counts = {name: len(values) for name, values in mine.items()}
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(SAMPLES):
        means = {}
        for name, count in counts.items():
            picks = rng.integers(0, count, count)
            means[name] = float((mine[name] - theirs[name])[picks].mean())
        differences.append(set_mean(means) if over_sets else float(np.mean(list(means.values()))))
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def share_worse(rows: Sequence[Row], method: str, baseline: str, by: float = 0.02) -> float:
    """Share of the images whose IoU is lower than the baseline's by more than `by`."""
    mine, theirs = by_class(rows, method), by_class(rows, baseline)
    return float(np.mean(np.concatenate([mine[name] - theirs[name] for name in mine]) < -by))
