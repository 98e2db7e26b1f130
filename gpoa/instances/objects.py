"""What instance segmentation passes on: one object as a mask in a window, and all objects of an image.

Legend: `H, W` image rows and columns; windows are (rows, columns) slices of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gpoa.types import Size

Window = tuple[slice, slice]
Source = Literal["sam", "cell"]
"""Who drew an outline: the segmenter, or the watershed on the prior."""


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """One object, or one of several outlines that it may have.

    Args:
        window: where `mask` lies; never empty.
        mask: [h, w] bool, at least one pixel.
        score: expected IoU with a true object, in [0, 1].
        xy: (x, y) of the seed, in pixels of the image.
        source: who drew it.
    """

    window: Window
    mask: np.ndarray
    score: float
    xy: tuple[float, float]
    source: Source

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False, slots=True)
class Objects:
    """All objects of one image.

    Args:
        labels: [H, W] uint16, or uint32 above 65,535 objects; 0 background, 1 to n the objects, every number used.
        scores: [n] float32 in [0, 1], what is expected of each object's IoU.
        by_segmenter: [n] bool, whether the segmenter drew its outline (else the watershed on the prior).
        decoder_calls: prompt sets that were decoded.
        tiles: in how many parts the image was seen.
    """

    labels: np.ndarray
    scores: np.ndarray
    by_segmenter: np.ndarray
    decoder_calls: int = 0
    tiles: int = 1

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self.scores)

    @property
    def mask(self) -> np.ndarray:
        """[H, W] bool, all objects together."""
        return self.labels > 0


def none_found(size: Size, decoder_calls: int = 0, tiles: int = 1) -> Objects:
    """An image without an object, (H, W)."""
    empty = np.zeros(size, dtype=np.uint16)
    return Objects(empty, np.zeros(0, np.float32), np.zeros(0, bool), decoder_calls, tiles)


def label_type(count: int) -> type[np.unsignedinteger]:
    """The smallest type that numbers so many objects and that every reader of label images knows."""
    return np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32


def trimmed(mask: np.ndarray, top: int = 0, left: int = 0) -> tuple[Window, np.ndarray] | None:
    """A mask without empty rows and columns around it, and where it lies; None where it is empty.

    Args:
        mask: [h, w] bool.
        top, left: place of its upper left pixel in the image.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    inner = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    window = slice(top + inner[0].start, top + inner[0].stop), slice(left + inner[1].start, left + inner[1].stop)
    return window, np.ascontiguousarray(mask[inner])


def shared_pixels(one: Found, other: Found) -> int:
    """Pixels that two masks have in common."""
    parts = []
    for mine, theirs in zip(one.window, other.window, strict=True):
        start, stop = max(mine.start, theirs.start), min(mine.stop, theirs.stop)
        if start >= stop:
            return 0
        parts.append((slice(start - mine.start, stop - mine.start), slice(start - theirs.start, stop - theirs.start)))
    (rows, their_rows), (columns, their_columns) = parts
    return int(np.count_nonzero(one.mask[rows, columns] & other.mask[their_rows, their_columns]))
