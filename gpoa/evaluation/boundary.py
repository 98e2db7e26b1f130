"""How well the outline of a predicted mask agrees with the true one.

Conventions:

    boundary region   mask pixels whose chessboard distance to a pixel outside the mask is at most d; beyond the image
                      everything is outside, so mask pixels at the image border belong to it. This is what the reference
                      code of Cheng et al. 2021 computes (d erosions by a 3 x 3 square after padding with 0)
    surface           mask pixels with a 4-neighbour outside the mask; beyond the image is outside
    distances         Euclidean, between pixel centres, in pixels of the original image
    both masks empty  boundary IoU 1, distances 0
    one mask empty    boundary IoU 0, distances the image diagonal: the largest there can be, and finite, so that means
                      exist and a miss is never cheaper than a bad mask
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

RATIO = 0.02
"""Half width of the boundary region as a share of the image diagonal (Cheng et al. 2021, section 4)."""
TREE_SHARE = 0.15
"""Up to this many surface pixels per pixel of the crop, a search tree is faster than a distance transform."""


class BoundaryScores(NamedTuple):
    """The scores of an outline: boundary IoU in [0, 1]; `hd95` and `assd` in pixels, 0 is best."""

    boundary_iou: float
    hd95: float
    assd: float


def as_mask_pair(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two masks as [H, W] bool of one size.

    Args:
        prediction: [H, W] bool, or integers of which every non-zero one is foreground.
        truth: [H, W] likewise.

    Raises:
        ValueError: the sizes differ, there is no pixel, or the values are floating-point (threshold them first).
    """
    prediction, truth = _as_bool("prediction", prediction), _as_bool("truth", truth)
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction is {prediction.shape} but truth is {truth.shape} (H, W); resize neither silently")
    return prediction, truth


def score_boundary(prediction: np.ndarray, truth: np.ndarray, ratio: float = RATIO) -> BoundaryScores:
    """All scores of this module at once; see the functions of their names.

    Args:
        prediction: [H, W] bool or integer mask.
        truth: [H, W] likewise.
        ratio: as in `boundary_iou`.

    Returns:
        Boundary IoU, 95th percentile Hausdorff distance, average symmetric surface distance.

    Raises:
        ValueError: see `as_mask_pair`; or `ratio` is not above 0.
    """
    prediction, truth = as_mask_pair(prediction, truth)
    width, diagonal = boundary_width(truth.shape, ratio), math.hypot(*truth.shape)
    if not prediction.any() or not truth.any():
        equal = not prediction.any() and not truth.any()
        return BoundaryScores(1.0, 0.0, 0.0) if equal else BoundaryScores(0.0, diagonal, diagonal)
    prediction, truth = _crop_to_union(prediction, truth)
    if np.array_equal(prediction, truth):
        return BoundaryScores(1.0, 0.0, 0.0)
    there, back = surface_distances(prediction, truth)
    return BoundaryScores(_region_iou(prediction, truth, width), _hd95(there, back), _assd(there, back))


def boundary_iou(prediction: np.ndarray, truth: np.ndarray, ratio: float = RATIO) -> float:
    """IoU of the boundary regions of two masks (Cheng et al. 2021, arXiv:2103.16562, equation 1).

    Args:
        prediction: [H, W] bool or integer mask.
        truth: [H, W] likewise.
        ratio: half width of the boundary region as a share of the diagonal; at least one pixel is used.

    Returns:
        [0, 1]; 1 where both masks are empty, 0 where one is.

    Raises:
        ValueError: as `score_boundary`.
    """
    prediction, truth = as_mask_pair(prediction, truth)
    width = boundary_width(truth.shape, ratio)
    if not prediction.any() or not truth.any():
        return float(prediction.any() == truth.any())
    return _region_iou(*_crop_to_union(prediction, truth), width)


def hd95(prediction: np.ndarray, truth: np.ndarray) -> float:
    """95th percentile Hausdorff distance of two masks' surfaces.

    The larger of the two directed 95th percentiles, as in MONAI and Metrics Reloaded (Maier-Hein et al. 2024). (MedPy
    takes one percentile of both directions pooled; there, a long surface of one mask hides what the other misses.)
    Percentiles are interpolated linearly.

    Args:
        prediction: [H, W] bool or integer mask.
        truth: [H, W] likewise.

    Returns:
        Pixels, 0 is best; 0 where both masks are empty, the image diagonal where one is.

    Raises:
        ValueError: see `as_mask_pair`.
    """
    return score_boundary(prediction, truth).hd95


def assd(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Average symmetric surface distance: the mean over the pixels of both surfaces, pooled (Heimann et al. 2009).

    (MedPy's `assd` is the mean of the two directed means; there, the surfaces weigh the same whatever their lengths.)

    Args:
        prediction: [H, W] bool or integer mask.
        truth: [H, W] likewise.

    Returns:
        Pixels, 0 is best; 0 where both masks are empty, the image diagonal where one is.

    Raises:
        ValueError: see `as_mask_pair`.
    """
    return score_boundary(prediction, truth).assd


def boundary_width(size: tuple[int, ...], ratio: float = RATIO) -> int:
    """Half width d of the boundary region in pixels: `ratio` of the diagonal, rounded, at least 1.

    Args:
        size: (H, W).
        ratio: above 0.

    Raises:
        ValueError: `ratio` is not above 0.
    """
    if not ratio > 0:
        raise ValueError(f"ratio: must be above 0, got {ratio}")
    return max(1, round(ratio * math.hypot(*size)))


def boundary_region(mask: np.ndarray, width: int) -> np.ndarray:
    """The mask pixels at most `width` pixels (chessboard distance) from a pixel outside the mask.

    Args:
        mask: [H, W] bool.
        width: at least 1.

    Returns:
        [H, W] bool.
    """
    inner = ndimage.minimum_filter(mask.view(np.uint8), size=2 * width + 1, mode="constant", cval=0)
    return mask & (inner == 0)


def surface(mask: np.ndarray) -> np.ndarray:
    """The mask pixels with a 4-neighbour outside the mask; beyond the image is outside.

    Args:
        mask: [H, W] bool.

    Returns:
        [H, W] bool.
    """
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def surface_distances(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each surface pixel of one mask is from the nearest surface pixel of the other.

    Args:
        prediction: [H, W] bool, with foreground.
        truth: [H, W] likewise.

    Returns:
        [S] from the prediction to the truth and [T] from the truth to the prediction, float64 pixels, in no order.

    Raises:
        ValueError: a mask is empty.
    """
    if not prediction.any() or not truth.any():
        raise ValueError("surface distances: a mask is empty, so there is no surface; see the module's conventions")
    predicted, true = surface(prediction), surface(truth)
    return _distances(predicted, true), _distances(true, predicted)


def _distances(start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The distance from each pixel of `start` to the nearest of `goal`; both [H, W] bool."""
    away = start & ~goal
    n_away, n_goal = int(np.count_nonzero(away)), int(np.count_nonzero(goal))
    found = np.zeros(int(np.count_nonzero(start)))
    if n_away == 0:
        return found
    if n_away + n_goal <= TREE_SHARE * start.size:
        tree = KDTree(_points(goal), balanced_tree=False, compact_nodes=False)
        found[:n_away] = tree.query(_points(away))[0]
    else:
        found[:n_away] = ndimage.distance_transform_edt(~goal)[away]
    return found


def _points(mask: np.ndarray) -> np.ndarray:
    """[S, 2] (row, column) of the foreground; several times faster than `argwhere`."""
    return np.stack(np.divmod(np.flatnonzero(mask), mask.shape[1]), axis=1)


def _hd95(there: np.ndarray, back: np.ndarray) -> float:
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def _assd(there: np.ndarray, back: np.ndarray) -> float:
    return float((there.sum() + back.sum()) / (there.size + back.size))


def _region_iou(prediction: np.ndarray, truth: np.ndarray, width: int) -> float:
    """IoU of the boundary regions of two masks that are not empty; a mask with pixels has a boundary."""
    predicted, true = boundary_region(prediction, width), boundary_region(truth, width)
    return float(np.count_nonzero(predicted & true) / np.count_nonzero(predicted | true))


def _crop_to_union(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks in the smallest box around their foreground; what lies beyond is background, as beyond the image."""
    both = prediction | truth
    rows, columns = np.flatnonzero(both.any(axis=1)), np.flatnonzero(both.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return np.ascontiguousarray(prediction[box]), np.ascontiguousarray(truth[box])


def _as_bool(name: str, mask: np.ndarray) -> np.ndarray:
    """The mask as bool."""
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise ValueError(f"{name}: expected [H, W] bool or integer, got {mask.shape} {mask.dtype}; threshold it first")
    return mask.astype(bool, copy=False)
