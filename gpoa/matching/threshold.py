"""Where foreground begins on a target's score map."""

from __future__ import annotations

import numpy as np

from gpoa.config import ThresholdConfig
from gpoa.types import ScoreMap, Size

BINS = 256


def otsu_threshold(values: np.ndarray) -> float:
    """The threshold that parts values into two classes of least inner variance (Otsu 1979).

    Args:
        values: any shape, real, finite.

    Returns:
        The threshold; for constant values, that constant.
    """
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-6 * max(1.0, abs(low), abs(high)):
        return low
    histogram, edges = np.histogram(values, bins=BINS, range=(low, high))
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(histogram)[:-1].astype(np.float64)
    above = histogram.sum() - below
    sum_below = np.cumsum(histogram * centers)[:-1]
    mean_below = sum_below / np.maximum(below, 1)
    mean_above = ((histogram * centers).sum() - sum_below) / np.maximum(above, 1)
    return float(edges[1:-1][np.argmax(below * above * (mean_below - mean_above) ** 2)])


def reference_threshold(values: np.ndarray, labels: np.ndarray) -> float:
    """The threshold whose mask of the reference itself has the largest IoU.

    Args:
        values: [R] scores of the reference's own patches.
        labels: [R] bool.

    Returns:
        The threshold, half-way between the two scores that it separates.
    """
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(labels[order])
    union = labels.sum() + np.arange(1, len(order) + 1) - hits
    ranked = values[order]
    # A cut inside a run of equal scores cannot be made.
    possible = np.append(ranked[:-1] > ranked[1:], True)
    best = int(np.argmax(np.where(possible, hits / union, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best]
    return float((ranked[best] + below) / 2)


def to_score_map(values: np.ndarray, grid_size: Size, config: ThresholdConfig, from_reference: float) -> ScoreMap:
    """Gives a target's scores their threshold and scale.

    Args:
        values: [P] scores of the target's patches.
        grid_size: (rows, columns).
        config: which threshold.
        from_reference: the value of `reference_threshold`.

    Returns:
        The score map; its scale is the standard deviation of the values.
    """
    if config.method == "fixed":
        threshold = config.value
    elif config.method == "otsu":
        threshold = otsu_threshold(values)
    elif config.method == "reference":
        threshold = from_reference
    else:
        threshold = config.otsu_share * otsu_threshold(values) + (1 - config.otsu_share) * from_reference
    scale = max(float(values.std()), 1e-6)
    return ScoreMap(values=values.reshape(grid_size).astype(np.float32), threshold=threshold, scale=scale)
