"""The outlines of the objects of a label image, as polygons with holes along the pixel edges, and what formats without
holes make of them.

A ring is [n, 2] float64 of pixel corners (x, y), without its first point again at the end: the pixel in column 2 of row
1 is (2, 1), (3, 1), (3, 2), (2, 2). Exteriors run clockwise as one looks at the image, holes the other way. Objects
that touch share their border point for point, and simplifying keeps it so.

Rings are valid after OGC's Simple Features: pixels that touch at a corner only are different parts, or a ring and its
hole that meet at a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpoa.datasets.polygons import outline
from gpoa.datasets.raster import missing
from gpoa.errors import DataError


class Part(NamedTuple):
    """A connected part of an object.

    Args:
        exterior: [n, 2] float64 ring.
        holes: rings inside it.
    """

    exterior: np.ndarray
    holes: list[np.ndarray]


def outlines(ids: np.ndarray, simplify: float = 0.0) -> dict[int, list[Part]]:
    """The outlines of every object.

    Args:
        ids: [H, W] integer, 0 background.
        simplify: how far a border may move, in pixels; 0 keeps it exactly.

    Returns:
        id -> its parts, in reading order.

    Raises:
        DataError: shapely, which simplifying needs, is not installed.
    """
    from scipy import ndimage

    found = {}
    for number, place in enumerate(ndimage.find_objects(ids), start=1):
        if place is not None:
            found[number] = _parts(ids[place] == number, place[0].start, place[1].start)
    return _simplified(found, simplify) if simplify > 0 and found else found


def one_path(parts: Sequence[Part]) -> np.ndarray:
    """All rings of an object as one closed path, joined by bridges of no width, for formats that know neither holes nor
    several parts.

    A bridge runs from a point of the path to the nearest point of the next ring and back, so that filling the path, by
    the even-odd or by the winding rule, gives the object and nothing else.

    Args:
        parts: at least one.

    Returns:
        [n, 2] float64.
    """
    from scipy.spatial.distance import cdist

    rings = [ring for part in parts for ring in (part.exterior, *part.holes)]
    path, waiting = rings[0], rings[1:]
    while waiting:
        nearest = [cdist(path, ring) for ring in waiting]
        chosen = int(np.argmin([distance.min() for distance in nearest]))
        start, place = np.unravel_index(nearest[chosen].argmin(), nearest[chosen].shape)
        ring = np.roll(waiting.pop(chosen), -int(place), axis=0)
        path = np.concatenate([path[: start + 1], ring, ring[:1], path[start:]])
    return path


def _parts(mask: np.ndarray, top: int, left: int) -> list[Part]:
    """The parts of one object's mask, whose corner lies at (left, top)."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)  # by edges, not corners
    parts = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        part, row, column = labels[rows, columns] == number, top + rows.start, left + columns.start
        filled = ndimage.binary_fill_holes(part)
        gaps, _ = ndimage.label(filled & ~part)
        holes = []
        for gap, (down, across) in enumerate(ndimage.find_objects(gaps), start=1):
            hole = ndimage.binary_fill_holes(gaps[down, across] == gap)
            holes.append(_ring(hole, row + down.start, column + across.start)[::-1])
        parts.append(Part(_ring(filled, row, column), holes))
    return parts


def _ring(part: np.ndarray, top: int, left: int) -> np.ndarray:
    """[n, 2] float64 ring of a connected part without holes."""
    return np.asarray(outline(part, top, left), dtype=np.float64).reshape(-1, 2)


def _simplified(found: dict[int, list[Part]], tolerance: float) -> dict[int, list[Part]]:
    """The outlines with fewer points; a border that two objects share stays one border (GEOS's coverage simplifier,
    after Visvalingam and Whyatt 1993).
    """
    try:
        import shapely
    except ImportError as error:
        raise DataError(missing("simplifying outlines", "shapely", "export")) from error
    polygons = [shapely.MultiPolygon([(part.exterior, part.holes) for part in parts]) for parts in found.values()]
    # Where borders meet, both sides need a point: with one at every pixel's corner they have it.
    simple = shapely.coverage_simplify(shapely.segmentize(polygons, 1.0), tolerance)
    return {number: _from_shapely(shape) for number, shape in zip(found, shapely.orient_polygons(simple), strict=True)}


def _from_shapely(shape: object) -> list[Part]:
    """The parts of a polygon or of several."""
    import shapely

    def ring(line: object) -> np.ndarray:
        return shapely.get_coordinates(line)[:-1]

    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon" and not part.is_empty]
    return [Part(ring(part.exterior), [ring(hole) for hole in part.interiors]) for part in parts]
