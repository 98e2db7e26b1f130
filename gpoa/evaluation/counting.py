"""How well objects are counted and their sizes are known, and how well those of one size class are found.

Legend: `P` predicted objects, `T` true objects, areas in pixels.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from gpoa.evaluation.instances import InstanceScores, score_ious

LARGE = 100
"""Objects of fewer pixels are small."""
CONVENTIONS = {
    "count_error": "|predicted - true| / true objects of an image; without true objects 0 if none is predicted, else 1",
    "size_distance": "Wasserstein-1 distance between the equivalent diameters of predicted and true objects, over the "
    "median true diameter; 1 where one side has no object",
    "size classes": f"objects below and from {LARGE} px; of the other class neither true objects nor predictions that "
    "match one, or match none and are of that class themselves, are counted",
}
"""The conventions for files that report these."""


def count_error(predicted: int, true: int) -> float:
    """|predicted - true| / true; without true objects 0 where none is predicted, else 1."""
    return abs(predicted - true) / true if true else float(predicted > 0)


def size_distance(predicted: np.ndarray, true: np.ndarray) -> float:
    """How far two size distributions are apart, in median true diameters.

    Args:
        predicted: [P] areas.
        true: [T] areas.

    Returns:
        The Wasserstein-1 distance of the equivalent diameters over the true median; 0 without any object, 1 where
        one side has none.
    """
    if len(predicted) == 0 or len(true) == 0:
        return float(len(predicted) != len(true))
    found, real = (np.sqrt(4 * np.asarray(areas) / np.pi) for areas in (predicted, true))
    return float(stats.wasserstein_distance(found, real) / np.median(real))


def score_size_class(
    ious: np.ndarray, predicted: np.ndarray, true: np.ndarray, low: float, high: float
) -> InstanceScores:
    """Scores of the objects of one size class, those of other sizes ignored as COCO does it (Lin et al. 2014).

    Args:
        ious: [P, T] from `gpoa.evaluation.instances.instance_ious`.
        predicted: [P] areas.
        true: [T] areas.
        low, high: the class holds areas with low <= area < high.

    Returns:
        The counts of the class.
    """
    wanted = (true >= low) & (true < high)
    inside = (predicted >= low) & (predicted < high)
    best = ious.argmax(axis=1) if ious.shape[1] else np.zeros(len(predicted), dtype=np.int64)
    matched = ious.max(axis=1, initial=0) >= 0.5
    meant = np.where(matched, wanted[best] if len(wanted) else False, inside)
    return score_ious(ious[meant.astype(bool)][:, wanted])


def areas_of(labels: np.ndarray) -> np.ndarray:
    """[n] pixels of each object of a label image, by ascending number, objects without a pixel left out."""
    counts = np.unique(labels, return_counts=True)
    return counts[1][counts[0] != 0]
