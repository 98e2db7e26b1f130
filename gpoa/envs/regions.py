"""Regions of a map: the heaviest one, and the place in it where a click is safest."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def largest_region(where: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray | None]:
    """The connected region with the largest sum of weights: (that sum, [h, w] bool); (0, None) where there is none."""
    labelled, count = ndimage.label(where, EIGHT_NEIGHBOURS)
    if count == 0:
        return 0.0, None
    sums = np.bincount(labelled.reshape(-1), weights=np.asarray(weight, dtype=np.float64).reshape(-1))
    sums[0] = -1.0
    best = int(sums.argmax())
    return float(sums[best]), labelled == best


def centre_of(region: np.ndarray, weight: np.ndarray | None = None) -> tuple[int, int]:
    """(row, column) of the cell that is deepest in a region; with weights, of the largest product of both."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    value = depth if weight is None else depth * np.where(region, weight, 0.0)
    row, column = np.unravel_index(int(value.argmax()), value.shape)
    return int(row), int(column)
