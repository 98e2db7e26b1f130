"""How well a predicted mask agrees with the true one.

Conventions, so that no score is undefined (TP, FP, FN, TN count pixels):

    both masks empty          IoU = Dice = precision = recall = 1: that nothing is there was predicted rightly
    only the prediction empty IoU = Dice = recall = 0 by their formulas; precision (0/0) is 0
    only the truth empty      IoU = Dice = precision = 0 by their formulas; recall (0/0) is 0
    truth without background  specificity (0/0) is 1: there is nothing that could be taken for foreground wrongly

`gpoa.evaluation.boundary` states those of the outline's scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gpoa.evaluation.boundary import as_mask_pair, score_boundary

METRICS = ("iou", "dice", "boundary_iou", "hd95", "assd", "precision", "recall", "specificity", "accuracy")
"""What `score_all` gives, in this order; Dice equals F1."""
HIGHER_IS_BETTER = {name: name not in ("hd95", "assd") for name in METRICS}
"""False for the distances, which are in pixels and 0 at best; every other metric lies in [0, 1] and is 1 at best."""
CONVENTIONS = {
    "both_empty": "iou, dice, boundary_iou, precision and recall are 1, hd95 and assd 0, where both masks are empty",
    "one_empty": "iou, dice, boundary_iou, precision and recall are 0, hd95 and assd the image diagonal, where only "
    "one of the two masks is empty",
    "specificity": "1 where the true mask has no background",
    "boundary_iou": "boundary region: mask pixels within 2 % of the image diagonal (rounded, at least 1 pixel; "
    "chessboard distance) of a pixel outside the mask; beyond the image is outside (Cheng et al. 2021, as their code)",
    "hd95": "pixels; the larger of the two directed 95th percentiles of the distances between the surfaces (mask "
    "pixels with a 4-neighbour outside; beyond the image is outside)",
    "assd": "pixels; mean distance over the pixels of both surfaces, pooled",
}
"""The conventions for files that report scores."""
_CHUNK = 1 << 22


@dataclass(frozen=True)
class MaskScores:
    """The confusion counts of one prediction in pixels, and the scores that follow from them.

    Args:
        true_positive: foreground in both.
        false_positive: foreground in the prediction only.
        false_negative: foreground in the truth only.
        true_negative: background in both.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), in [0, 1]."""
        return self._share(self.true_positive, self.true_positive + self.false_positive + self.false_negative)

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), in [0, 1]; equals F1."""
        twice = 2 * self.true_positive
        return self._share(twice, twice + self.false_positive + self.false_negative)

    @property
    def precision(self) -> float:
        """TP / (TP + FP), in [0, 1]."""
        return self._share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), in [0, 1]."""
        return self._share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP), in [0, 1]; 1 where the truth has no background. Says little where the object is small."""
        background = self.true_negative + self.false_positive
        return self.true_negative / background if background else 1.0

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all pixels, in [0, 1]; says little where the object is small."""
        right = self.true_positive + self.true_negative
        return self._share(right, right + self.false_positive + self.false_negative)

    def _share(self, part: int, whole: int) -> float:
        """part / whole; 0/0 is 1 where both masks are empty, else 0."""
        if whole > 0:
            return part / whole
        return 1.0 if self.true_positive + self.false_positive + self.false_negative == 0 else 0.0


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def score_masks(prediction: np.ndarray, truth: np.ndarray) -> MaskScores:
    """Compares two masks.

    Args:
        prediction: [H, W] bool, or integers of which every non-zero one is foreground.
        truth: [H, W] likewise.

    Returns:
        The counts and scores.

    Raises:
        ValueError: the sizes differ, or the values are floating-point (threshold them first).
    """
    prediction, truth = as_mask_pair(prediction, truth)
    both = int(np.count_nonzero(prediction & truth))
    predicted, true = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
    return MaskScores(both, predicted - both, true - both, truth.size - predicted - true + both)


def score_all(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Every metric of two masks.

    Args:
        prediction: [H, W] bool, or integers of which every non-zero one is foreground.
        truth: [H, W] likewise.

    Returns:
        The names of `METRICS`, in that order, with their scores.

    Raises:
        ValueError: as `score_masks`.
    """
    counts, outline = score_masks(prediction, truth), score_boundary(prediction, truth)._asdict()
    return {name: float(outline[name] if name in outline else getattr(counts, name)) for name in METRICS}


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two [H, W] masks, in [0, 1]; see `score_masks`."""
    return score_masks(prediction, truth).iou


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of two [H, W] masks, in [0, 1]; see `score_masks`."""
    return score_masks(prediction, truth).dice


def precision(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Share of the predicted foreground that is true, in [0, 1]; see `score_masks`."""
    return score_masks(prediction, truth).precision


def recall(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true foreground that is predicted, in [0, 1]; see `score_masks`."""
    return score_masks(prediction, truth).recall


def paired_bootstrap(differences: np.ndarray, seed: int, samples: int = 10_000) -> Interval:
    """Percentile bootstrap of a mean paired difference (Efron and Tibshirani 1993, section 13.3).

    Args:
        differences: [N] score of one method minus score of the other, one for each image (or class).
        seed: seed of the resampling; the same seed gives the same interval.
        samples: bootstrap samples.

    Returns:
        The mean of the differences and the bounds of its 95 % interval.

    Raises:
        ValueError: there is no difference, one is not finite, or `samples` is below 1.
    """
    values = np.asarray(differences, dtype=np.float64).reshape(-1)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"differences: one or more finite values are needed, got {values.size} values")
    if samples < 1:
        raise ValueError(f"samples: at least 1 is needed, got {samples}")
    rng = np.random.default_rng(seed)
    means = np.empty(samples)
    step = max(1, _CHUNK // values.size)  # bounds the memory of the index table
    for start in range(0, samples, step):
        rows = min(step, samples - start)
        means[start : start + rows] = values[rng.integers(0, values.size, (rows, values.size))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))
