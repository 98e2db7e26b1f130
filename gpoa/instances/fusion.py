"""From outlines that overlap to objects that do not: three ways.

    nms      the best outlines first; one that overlaps a better one too much is dropped (default)
    average  each object's outline weighs by a Gaussian around its seed; foreground is where the weighted mean of all is
             above one half, and a pixel belongs to the object that weighs most there
    union    outlines that overlap are one object

Legend: `H, W` rows and columns; `n` objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from gpoa.instances.objects import Found, Objects, label_type, shared_pixels, trimmed
from gpoa.types import Size

SAME = 0.3
"""Two outlines of a higher IoU are of one object."""
INSIDE = 0.5
"""An outline of which a better one covers more than this share is a part of that, or it and what is beside it."""
VISIBLE = 0.5
"""An object is kept where at least this share of its outline is not owned by better ones."""


def suppress(found: Iterable[Found], least: float) -> list[Found]:
    """Non-maximum suppression of masks, with rules for containment.

    Args:
        found: outlines, several of one object perhaps.
        least: lower scores are dropped.

    Returns:
        Those that are kept, best first. No two have an IoU above `SAME`, and of none do better ones together cover more
        than `INSIDE`.
    """
    order = sorted((one for one in found if one.score >= least), key=lambda one: -one.score)
    kept: list[Found] = []
    near = Neighbourhood()
    for one in order:
        area, taken = one.area, 0
        for other in near.of(one):
            shared = shared_pixels(one, other)
            taken += shared
            if shared > SAME * (area + other.area - shared) or shared > INSIDE * min(area, other.area):
                break
        else:
            if taken <= INSIDE * area:
                kept.append(one)
                near.add(one)
    return kept


class Neighbourhood:
    """Finds outlines whose windows may meet, without looking at all.

    Args:
        step: side of the squares by which they are sorted, in pixels.
    """

    def __init__(self, step: int = 64) -> None:
        self.step = step
        self._squares: dict[tuple[int, int], list[Found]] = {}

    def add(self, one: Found) -> None:
        """Remembers an outline."""
        for square in self._of(one):
            self._squares.setdefault(square, []).append(one)

    def of(self, one: Found) -> list[Found]:
        """Each remembered outline that shares a square with this one, once."""
        met = {id(other): other for square in self._of(one) for other in self._squares.get(square, [])}
        return list(met.values())

    def _of(self, one: Found) -> list[tuple[int, int]]:
        rows, columns = (range(part.start // self.step, (part.stop - 1) // self.step + 1) for part in one.window)
        return [(row, column) for row in rows for column in columns]


def paint(found: Sequence[Found], size: Size, decoder_calls: int = 0, tiles: int = 1) -> Objects:
    """The label image of objects; where two meet, the better one owns the pixel.

    Args:
        found: at most one outline an object.
        size: (H, W) of the image.
        decoder_calls, tiles: for the record.

    Returns:
        The objects in reading order of their first pixels; those that are hardly seen behind better ones are left out.
    """
    ordered = sorted(found, key=lambda one: -one.score)
    owner = np.zeros(size, dtype=np.uint32)
    kept = []
    for one in ordered:
        part = owner[one.window]
        free = one.mask & (part == 0)
        if np.count_nonzero(free) < VISIBLE * one.area:
            continue
        kept.append(one)
        part[free] = len(kept)
    return numbered(owner, kept, decoder_calls, tiles)


def numbered(owner: np.ndarray, kept: Sequence[Found], decoder_calls: int, tiles: int) -> Objects:
    """Objects from an image of places in a list, from 1; numbers without a pixel are left out.

    Args:
        owner: [H, W] uint32, 0 background.
        kept: the objects that it names.
        decoder_calls, tiles: for the record.
    """
    flat = owner.reshape(-1)
    places = np.flatnonzero(flat)
    first = np.full(len(kept) + 1, flat.size)
    np.minimum.at(first, flat[places], places)
    order = [int(one) for one in np.argsort(first[1:], kind="stable") if first[1 + one] < flat.size]
    table = np.zeros(len(kept) + 1, dtype=label_type(len(order)))
    table[np.array(order, dtype=np.int64) + 1] = np.arange(1, len(order) + 1)
    chosen = [kept[one] for one in order]
    scores = np.array([one.score for one in chosen], dtype=np.float32)
    return Objects(table[owner], scores, np.array([one.source == "sam" for one in chosen], bool), decoder_calls, tiles)


def average(found: Sequence[Found], size: Size, sigma: float, decoder_calls: int = 0, tiles: int = 1) -> Objects:
    """The objects where the weighted mean of all outlines is foreground.

    Args:
        found: one outline a seed.
        size: (H, W) of the image.
        sigma: deviation of the Gaussian around a seed, in pixels.
        decoder_calls, tiles: for the record.
    """
    weight, votes, most = (np.zeros(size, dtype=np.float32) for _ in range(3))
    owner = np.zeros(size, dtype=np.uint32)
    reach = int(np.ceil(3 * sigma))
    for number, one in enumerate(found, start=1):
        window = tuple(
            slice(max(0, min(part.start, int(centre) - reach)), min(length, max(part.stop, int(centre) + reach + 1)))
            for part, centre, length in zip(one.window, one.xy[::-1], size, strict=True)
        )
        y, x = np.ogrid[window]
        near = np.exp(-((y - one.xy[1]) ** 2 + (x - one.xy[0]) ** 2) / (2 * sigma**2)).astype(np.float32)
        inside = np.zeros(near.shape, dtype=bool)
        place = tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(one.window, window, strict=True))
        inside[place] = one.mask
        weight[window] += near
        votes[window] += near * inside
        wins = inside & (near > most[window])
        most[window] = np.where(wins, near, most[window])
        owner[window] = np.where(wins, number, owner[window])
    owner[votes <= 0.5 * weight] = 0
    return numbered(owner, found, decoder_calls, tiles)


def union(found: Sequence[Found]) -> list[Found]:
    """Outlines that overlap (as in `suppress`) joined to one each, with the best one's score and seed."""
    joined: list[Found] = []
    for one in sorted(found, key=lambda one: -one.score):
        apart = []
        for other in joined:
            shared = shared_pixels(one, other)
            same = shared > SAME * (one.area + other.area - shared) or shared > INSIDE * min(one.area, other.area)
            if same:
                one = _join(other, one)
            else:
                apart.append(other)
        joined = [*apart, one]
    return joined


def _join(better: Found, other: Found) -> Found:
    """Both outlines as one."""
    window = tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(better.window, other.window, strict=True)
    )
    mask = np.zeros([part.stop - part.start for part in window], dtype=bool)
    for one in (better, other):
        mask[tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(one.window, window, strict=True))] |= (
            one.mask
        )
    found = trimmed(mask, window[0].start, window[1].start)
    assert found is not None, "outlines are not empty"
    return replace(better, window=found[0], mask=found[1], score=max(better.score, other.score))
