"""Masks as polygons along the pixel edges, and back, without loss.

A polygon is a flat list [x0, y0, x1, y1, ...] of pixel corners: the pixel in column 2 of row 1 is [2, 1, 3, 1, 3, 2, 2,
2]. COCO's decoder (`rleFrPoly` of pycocotools) asks of each pixel centre whether it lies inside, and all edges run half
a pixel away from the centres, so decoding gives back the mask exactly.

Pixels that touch at a corner only belong to different parts, so that no polygon crosses itself. A list of polygons is
their union and cannot say "without": a part with holes is cut by vertical lines through the holes until no piece has
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gpoa.types import Size

_SIDES = {
    0b0001: "ES", 0b0010: "WS", 0b0100: "EN", 0b1000: "WN", 0b1110: "WN", 0b1101: "EN", 0b1011: "WS", 0b0111: "ES",
}  # fmt: skip
"""Which of the 2 x 2 pixels around a corner are foreground (NW 8, NE 4, SW 2, SE 1) -> the sides to which its two edges
run."""
_CROSSINGS = {0b1001: ("WN", "ES"), 0b0110: ("EN", "WS")}
"""The same where two pixels touch at the corner only: a pair of edges for each of the two pixels."""


def mask_to_polygons(mask: np.ndarray, top: int = 0, left: int = 0) -> list[list[int]]:
    """The polygons whose union is the mask.

    Args:
        mask: [H, W] bool.
        top, left: where its upper left pixel lies, if it is a window of an image.

    Returns:
        One polygon for each part without holes, several for one with holes; none for an empty mask.

    Raises:
        ValueError: the mask is not [H, W] bool.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask: expected [H, W] bool, got {mask.shape} {mask.dtype}")
    return [outline(*piece) for piece in _pieces(mask, top, left)]


def polygons_to_mask(polygons: Sequence[Sequence[float]], size: Size) -> np.ndarray:
    """Fills polygons along the pixel edges; the inverse of `mask_to_polygons`.

    Args:
        polygons: flat lists of pixel corners; only horizontal and vertical edges.
        size: (H, W).

    Returns:
        [H, W] bool, the union.

    Raises:
        ValueError: an edge is slanted or not on the pixel grid, or a corner lies outside.
    """
    height, width = size
    mask = np.zeros(size, dtype=bool)
    for polygon in polygons:
        corners = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        ends = np.roll(corners, -1, axis=0)
        if len(corners) < 4 or (corners % 1 != 0).any() or not ((corners == ends).any(axis=1)).all():
            raise ValueError("the polygon does not run along the pixel edges")
        if (corners < 0).any() or (corners > (width, height)).any():
            raise ValueError("the polygon leaves the image")
        crossings = np.zeros((height + 1, width), dtype=bool)
        for (x0, y), (x1, _) in zip(corners.astype(int), ends.astype(int), strict=True):
            crossings[y, min(x0, x1) : max(x0, x1)] ^= True
        mask |= np.logical_xor.accumulate(crossings, axis=0)[:height]
    return mask


def fill_rings(rings: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """The pixels whose centres lie inside an odd number of rings, whatever way their edges run.

    Args:
        rings: each [n, 2] (x, y), pixel corners being integers; they may touch themselves and leave the image.
        size: (H, W).

    Returns:
        [H, W] bool.
    """
    height, width = size
    flips = np.zeros((height, width + 1), dtype=bool)
    for ring in rings:
        starts = np.asarray(ring, dtype=np.float64).reshape(-1, 2)
        for (x0, y0), (x1, y1) in zip(starts, np.roll(starts, -1, axis=0), strict=True):
            first, last = (int(np.ceil(y - 0.5)) for y in sorted((y0, y1)))
            rows = np.arange(max(first, 0), min(last, height))
            if rows.size:
                crossed = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
                columns = np.clip(np.ceil(crossed - 0.5), 0, width).astype(int)
                flips[rows, columns] ^= True
    return np.logical_xor.accumulate(flips, axis=1)[:, :width]


def _pieces(mask: np.ndarray, top: int = 0, left: int = 0) -> Iterator[tuple[np.ndarray, int, int]]:
    """The connected parts of a mask, cut until none has a hole: (piece [h, w] bool, its row, its column)."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)  # by edges, not corners
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        part, row, column = labels[rows, columns] == number, top + rows.start, left + columns.start
        outside, count = (None, 1) if part.all() else ndimage.label(~np.pad(part, 1), structure=np.ones((3, 3)))
        if count < 2:
            yield part, row, column
            continue
        holes = [hole for _, hole in ndimage.find_objects(outside)[1:]]  # 1 is what surrounds the part
        # Through the hole next to the middle, so that many holes need few rounds; padding shifted the columns by 1.
        cuts = [(hole.start + hole.stop) // 2 - 1 for hole in holes]
        cut = min(cuts, key=lambda place: abs(place - part.shape[1] / 2))
        yield from _pieces(part[:, :cut], row, column)
        yield from _pieces(part[:, cut:], row, column + cut)


def outline(part: np.ndarray, top: int, left: int) -> list[int]:
    """The one outline of a connected part without holes, clockwise from its upper left corner.

    Args:
        part: [h, w] bool.
        top, left: where its corner lies in the image.

    Returns:
        [x0, y0, x1, y1, ...] pixel corners.
    """
    corners = _corners(part)
    along = _linked(sorted(range(len(corners)), key=lambda k: (corners[k][1], corners[k][0], corners[k][2][0] != "W")))
    down = _linked(sorted(range(len(corners)), key=lambda k: (corners[k][0], corners[k][1], corners[k][2][1] != "N")))
    polygon, place = [], 0
    for _ in range(len(corners) // 2):
        for links in (along, down):
            x, y, _ = corners[place]
            polygon += [x + left, y + top]
            place = links[place]
    return polygon


def _corners(part: np.ndarray) -> list[tuple[int, int, str]]:
    """Where the outline turns, in reading order: (x, y, the two sides to which its edges run)."""
    padded = np.pad(part, 1).astype(np.uint8)
    kinds = 8 * padded[:-1, :-1] + 4 * padded[:-1, 1:] + 2 * padded[1:, :-1] + padded[1:, 1:]
    turning = ~np.isin(kinds, (0b0000, 0b1111, 0b1100, 0b0011, 0b1010, 0b0101))
    found = []
    for y, x in np.argwhere(turning).tolist():
        kind = int(kinds[y, x])
        found += [(x, y, sides) for sides in _CROSSINGS.get(kind) or (_SIDES[kind],)]
    return found


def _linked(order: Sequence[int]) -> dict[int, int]:
    """Both ways between the first and the second, the third and the fourth, and so on: the ends of each edge."""
    pairs = list(zip(order[::2], order[1::2], strict=True))
    return {**dict(pairs), **{other: one for one, other in pairs}}
