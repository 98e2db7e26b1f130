"""Outlines: exact, valid, one path an object, and borders that stay shared when they are simplified."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy import ndimage

from gpoa.datasets.outlines import Part, one_path, outlines
from gpoa.datasets.polygons import fill_rings

RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]])  # a hole
CORNER = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]])  # holes that touch the outside at a corner: two parts


def _shape(parts: list[Part]) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([(part.exterior, part.holes) for part in parts])


def _smooth(seed: int) -> np.ndarray:
    """Four kinds of ground that meet everywhere, with islands and lakes."""
    rng = np.random.default_rng(seed)
    return np.argmax([ndimage.gaussian_filter(rng.normal(size=(40, 50)), 1 + seed % 2) for _ in range(4)], axis=0)


def test_a_hole_is_a_ring_of_its_own() -> None:
    (part,) = outlines(RING)[1]
    assert part.exterior.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]
    assert [hole.tolist() for hole in part.holes] == [[[1, 2], [2, 2], [2, 1], [1, 1]]]


def test_pixels_that_touch_at_a_corner_are_two_parts() -> None:
    assert [len(part.exterior) for part in outlines(CORNER)[1]] == [6, 6]


NOISE = np.random.default_rng(0).integers(0, 3, (20, 25))


@pytest.mark.parametrize("ids", [RING, CORNER, _smooth(0), _smooth(1), NOISE])
def test_outlines_and_paths_give_the_objects_back(ids: np.ndarray) -> None:
    """Valid after OGC, of the right area; the path with its bridges fills to exactly the object."""
    found = outlines(ids)
    assert sorted(found) == [number for number in np.unique(ids) if number]
    for number, parts in found.items():
        mask, shape = ids == number, _shape(parts)
        assert shape.is_valid and shape.area == mask.sum()
        rings = [ring for part in parts for ring in (part.exterior, *part.holes)]
        assert np.array_equal(fill_rings(rings, ids.shape), mask)
        path = one_path(parts)
        assert np.array_equal(fill_rings([path], ids.shape), mask)
        x, y = path.T  # the winding rule agrees: the bridges cancel and holes run the other way
        assert abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) == 2 * mask.sum()


def test_simplified_neighbours_still_share_their_borders() -> None:
    """Fewer points, and neither gap nor overlap."""
    ids = _smooth(1) + 1
    exact, simple = outlines(ids), outlines(ids, simplify=2.0)
    shapes = [_shape(parts) for parts in simple.values()]
    assert shapely.coverage_is_valid(shapes) and all(shape.is_valid for shape in shapes)
    assert shapely.union_all(shapes).area == pytest.approx(sum(shape.area for shape in shapes))
    count = [sum(len(part.exterior) for parts in found.values() for part in parts) for found in (exact, simple)]
    assert count[1] < 0.7 * count[0]


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((4, 5), dtype=np.int32), simplify=1.0) == {}


def test_rings_that_leave_the_image_are_cut() -> None:
    ring = np.array([[-2, -2], [2.5, -2], [2.5, 9], [-2, 9]])
    assert fill_rings([ring], (3, 4)).tolist() == [[True, True, False, False]] * 3  # 2.5 is the centre: not inside
