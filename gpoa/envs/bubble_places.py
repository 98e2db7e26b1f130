"""Where a point may be added, and which one may be removed: candidates by a stated rule, so that nothing is drawn.

*Additions.* The error that the prior p sees in the mask m is p (1 - m) where a positive may go, (1 - p) m where a
negative may go. A place is the better the larger the error and the deeper it lies in its region, as a person clicks in
the middle of what is wrong: error * (1 + distance to the region's border). Candidates are taken one after another, with
a distance between them and from all points of the set.

*Removals.* The positive on the lowest p first; the negative on the highest.

Legend: `C` cells a side of SAM's padded frame; cells are (row, column).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from gpoa.geometry import LOW_RES_SIDE, low_res_extent
from gpoa.types import Size

CELLS, CANDIDATES = 64, 4
REGION = 0.25
"""Error from which on a cell belongs to a region."""
SMALLEST_ERROR = 0.1
"""A candidate has at least this error."""
APART = 4
"""Cells between two candidates, at least, in rows or in columns."""
BESIDE = np.stack(tuple(np.mgrid[-1:2, -1:2]), axis=-1).reshape(9, 2)
"""Steps to the cells where no candidate lies beside a point of the set."""
NEIGHBOURHOOD = 9
"""Side of the square of cells over which an error is averaged."""
LOGIT_SCALE = 10.0
EDGE = 1e-3


class Kind(IntEnum):
    """What an action does."""

    ADD_POSITIVE = 0
    REMOVE_POSITIVE = 1
    ADD_NEGATIVE = 2
    REMOVE_NEGATIVE = 3

    @property
    def adds(self) -> bool:
        """Whether it adds a point."""
        return self in (Kind.ADD_POSITIVE, Kind.ADD_NEGATIVE)

    @property
    def label(self) -> int:
        """1 for positives, 0 for negatives."""
        return int(self in (Kind.ADD_POSITIVE, Kind.REMOVE_POSITIVE))


class Places(NamedTuple):
    """Candidates, best first; of one kind [n, …], of all kinds [4, n, …], n = CANDIDATES.

    Args:
        cells: [n, 2] int64 (row, column).
        points: [n] int64 which point of the set, -1 for additions.
        legal: [n] bool, False where there is no such candidate.
        numbers: [n, 2] float32 what the policy sees of a candidate, 0 where there is none: log odds of p / 10 there;
            and the root of the mean error around it (additions) or the mask's logit / 10 there, clipped to +-1
            (removals).
    """

    cells: np.ndarray
    points: np.ndarray
    legal: np.ndarray
    numbers: np.ndarray

    @classmethod
    def none(cls) -> Places:
        """No candidate at all."""
        return cls(
            np.zeros((CANDIDATES, 2), dtype=np.int64),
            np.full(CANDIDATES, -1, dtype=np.int64),
            np.zeros(CANDIDATES, dtype=bool),
            np.zeros((CANDIDATES, 2), dtype=np.float32),
        )

    @classmethod
    def stack(cls, parts: Sequence[Places]) -> Places:
        """The candidates of all kinds."""
        return cls(*(np.stack(columns) for columns in zip(*parts, strict=True)))


def additions(
    probability: np.ndarray, covered: np.ndarray, inside: np.ndarray, taken: np.ndarray, kind: Kind
) -> Places:
    """Where a point may be added.

    Args:
        probability: [C, C] the prior.
        covered: [C, C] share of each cell that the mask covers.
        inside: [C, C] bool, cells of the image.
        taken: [n, 2] cells of the points that are there, of either label.
        kind: ADD_POSITIVE or ADD_NEGATIVE.
    """
    places = Places.none()
    error = probability * (1 - covered) if kind == Kind.ADD_POSITIVE else (1 - probability) * covered
    error = np.where(inside, error, 0)
    around = np.sqrt(np.maximum(ndimage.uniform_filter(error, NEIGHBOURHOOD, mode="constant"), 0))
    weight = error * (1 + ndimage.distance_transform_edt(error >= REGION))
    weight[error < SMALLEST_ERROR] = 0
    beside = (taken[:, None] + BESIDE).reshape(-1, 2).clip(0, CELLS - 1)
    weight[tuple(beside.T)] = 0
    for rank in range(CANDIDATES):
        row, column = divmod(int(weight.argmax()), CELLS)
        if weight[row, column] <= 0:
            break
        places.cells[rank], places.legal[rank] = (row, column), True
        places.numbers[rank] = _log_odds(probability[row, column]), around[row, column]
        top, left = max(row - APART, 0), max(column - APART, 0)
        weight[top : row + APART + 1, left : column + APART + 1] = 0
    return places


def removals(
    probability: np.ndarray,
    logits: np.ndarray,
    spots: np.ndarray,
    own: np.ndarray,
    place: np.ndarray | None,
    kind: Kind,
) -> Places:
    """Which points may be removed.

    Args:
        probability: [C, C] the prior.
        logits: [C, C] of the mask.
        spots: [K, 2] cells of all points.
        own: [n] the points of the kind's label.
        place: cell of the last action, whose point stays; or None.
        kind: REMOVE_POSITIVE, which leaves at least one, or REMOVE_NEGATIVE.
    """
    places = Places.none()
    least = 1 if kind == Kind.REMOVE_POSITIVE else 0
    if len(own) <= least:
        return places
    values = probability[tuple(spots[own].T)]
    order = np.argsort(values if kind == Kind.REMOVE_POSITIVE else -values, kind="stable")
    if place is not None:
        order = order[(spots[own[order]] != place).any(axis=1)]
    chosen = own[order[:CANDIDATES]]
    cells, found = spots[chosen], len(chosen)
    there = tuple(cells.T)
    places.cells[:found], places.points[:found], places.legal[:found] = cells, chosen, True
    places.numbers[:found, 0] = _log_odds(probability[there])
    places.numbers[:found, 1] = np.clip(logits[there] / LOGIT_SCALE, -1, 1)
    return places


def to_cells(xy: np.ndarray, original_size: Size) -> np.ndarray:
    """The cell of SAM's padded frame that each point lies in.

    Args:
        xy: [K, 2] (x, y) in original pixels.
        original_size: (H, W).

    Returns:
        [K, 2] int64 (row, column); points outside the image go to the nearest cell of it.
    """
    extent = np.array(low_res_extent(original_size)) * CELLS / LOW_RES_SIDE  # cells that the image covers
    cells = np.floor((np.asarray(xy)[:, ::-1] + 0.5) / np.array(original_size) * extent).astype(np.int64)
    return np.clip(cells, 0, np.maximum(np.ceil(extent).astype(np.int64) - 1, 0))


def from_cells(cells: np.ndarray, original_size: Size) -> np.ndarray:
    """Centres of cells in original pixels.

    Args:
        cells: [K, 2] (row, column).
        original_size: (H, W).

    Returns:
        [K, 2] float32 (x, y), inside the image, rounded as a prompt file rounds it.
    """
    extent = np.array(low_res_extent(original_size)) * CELLS / LOW_RES_SIDE
    yx = (np.asarray(cells) + 0.5) / extent * np.array(original_size) - 0.5
    return np.clip(yx, 0, np.array(original_size) - 1)[:, ::-1].astype(np.float32).round(3)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    """Log odds / 10, in about [-.7, .7]."""
    clipped = np.clip(probability, EDGE, 1 - EDGE)
    return np.log(clipped / (1 - clipped)) / LOGIT_SCALE
