"""The benchmark protocol of DESIGN section 7: which images, which means, which intervals.

For each class: up to three references (first, middle, last by name), every other image is a target (20 at most). Means
are taken over the images of a class, then over the classes of a set, then over the sets; intervals are paired
bootstraps over images within classes.

A row is a mapping with `class`, `reference`, `image`, `method`, the metrics and, where a method draws at random,
`seed`. An image that was measured with several seeds counts once, with the mean of its values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.folder import find_samples
from gpoa.datasets.mask_io import load_mask
from gpoa.types import Sample

SAMPLES = 2000
TIE = 0.02
"""Two scores of one image that differ by no more than this are a tie."""
Row = Mapping[str, Any]
Key = tuple[str, str, str]
"""(class, reference, image)."""


def reference_episodes(samples: Sequence[Sample], references: int) -> list[tuple[Sample, list[Sample]]]:
    """The references of a class, each with all other images.

    Args:
        samples: of the class, by name.
        references: how many of first, middle and last are used.
    """
    places = list(dict.fromkeys([0, len(samples) // 2, len(samples) - 1]))[:references]
    return [(samples[place], [*samples[:place], *samples[place + 1 :]]) for place in places]


def class_episodes(folder: Path, references: int, targets: int) -> Iterable[tuple[Sample, list[Sample]]]:
    """The references of a class, each with its targets.

    Args:
        folder: holds `images` and `masks`.
        references: how many of first, middle and last are used.
        targets: at most this many, the first by name.
    """
    samples = sorted(find_samples(folder / "images"), key=lambda sample: sample.image_path.name)
    for reference, others in reference_episodes(samples, references):
        yield reference, others[:targets]


def truth_of(sample: Sample) -> np.ndarray:
    """The ground truth beside an image, [H, W] bool."""
    return load_mask(sample.image_path.parent.parent / "masks" / f"{sample.image_path.stem}.png", allow_empty=True)


def key_of(row: Row) -> Key:
    """The image that a row is about."""
    return row["class"], row["reference"], row["image"]


def by_class(rows: Sequence[Row], method: str, metric: str = "iou") -> dict[str, np.ndarray]:
    """A method's values of each class, images in one order for all methods."""
    grouped: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["method"] == method:
            grouped[row["class"]][row["reference"], row["image"]].append(float(row[metric]))
    return {
        name: np.array([np.mean(images[key]) for key in sorted(images)]) for name, images in grouped.items()
    }


def class_means(rows: Sequence[Row], method: str, metric: str = "iou") -> dict[str, float]:
    """Mean of a metric for a method in each class."""
    return {name: float(values.mean()) for name, values in by_class(rows, method, metric).items()}


def set_mean(means: Mapping[str, float]) -> float:
    """Mean over the classes of each set (the part of the name before the slash), then over the sets."""
    by_set: dict[str, list[float]] = defaultdict(list)
    for name, value in means.items():
        by_set[name.split("/")[0]].append(value)
    return float(np.mean([np.mean(values) for values in by_set.values()]))


def bootstrap(values: Mapping[str, np.ndarray], over_sets: bool = True) -> tuple[float, float]:
    """95 % interval of a mean over classes (and sets), by resampling the images of each class.

    Args:
        values: of the images of each class, one or more.
        over_sets: mean over classes, then sets; else over classes only.
    """
    rng = np.random.default_rng(0)
    drawn = {name: one[rng.integers(0, len(one), (SAMPLES, len(one)))].mean(axis=1) for name, one in values.items()}
    by_set: dict[str, list[np.ndarray]] = defaultdict(list)
    for name, means_of_class in drawn.items():
        by_set[name.split("/")[0] if over_sets else ""].append(means_of_class)
    means = np.mean([np.mean(one, axis=0) for one in by_set.values()], axis=0)  # [SAMPLES]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def differences(rows: Sequence[Row], method: str, baseline: str, metric: str = "iou") -> dict[str, np.ndarray]:
    """Method minus baseline for the images of each class.

    Raises:
        ValueError: the two were not measured on the same images.
    """
    mine, theirs = by_class(rows, method, metric), by_class(rows, baseline, metric)
    if {name: len(one) for name, one in mine.items()} != {name: len(one) for name, one in theirs.items()}:
        raise ValueError(f"{method} and {baseline} were measured on different images; run both on the same ones")
    return {name: mine[name] - theirs[name] for name in mine}


def interval(rows: Sequence[Row], method: str, baseline: str, over_sets: bool = True) -> tuple[float, float]:
    """Paired bootstrap 95 % interval of the difference of two methods' means.

    Args:
        rows: of both methods, on the same images.
        method, baseline: which two.
        over_sets: mean over classes, then sets; else over classes only.
    """
    return bootstrap(differences(rows, method, baseline), over_sets)


def share_worse(rows: Sequence[Row], method: str, baseline: str, by: float = TIE) -> float:
    """Share of the images whose IoU is lower than the baseline's by more than `by`."""
    return float(np.mean(np.concatenate(list(differences(rows, method, baseline).values())) < -by))
