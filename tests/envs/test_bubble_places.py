"""Where points may be added and which may be removed: the rule, on literal maps."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.envs.bubble_places import APART, CANDIDATES, CELLS, Kind, additions, from_cells, removals, to_cells

INSIDE = np.ones((CELLS, CELLS), dtype=bool)
NOBODY = np.empty((0, 2), dtype=np.int64)


def _map(*squares: tuple[int, int, int, float], ground: float = 0.0) -> np.ndarray:
    """[C, C] float32 with squares (top, left, side, value)."""
    values = np.full((CELLS, CELLS), ground, dtype=np.float32)
    for top, left, side, value in squares:
        values[top : top + side, left : left + side] = value
    return values


def test_a_positive_goes_to_the_middle_of_what_the_mask_misses() -> None:
    prior = _map((10, 10, 11, 0.9), (40, 40, 5, 0.9))
    places = additions(prior, _map((40, 40, 5, 1.0)), INSIDE, NOBODY, Kind.ADD_POSITIVE)
    np.testing.assert_array_equal(places.cells[0], [15, 15])
    assert places.legal[0] and places.numbers[0, 0] == pytest.approx(np.log(9) / 10)


def test_a_negative_goes_to_the_middle_of_what_the_mask_has_too_much() -> None:
    places = additions(_map(ground=0.1), _map((20, 30, 9, 1.0)), INSIDE, NOBODY, Kind.ADD_NEGATIVE)
    np.testing.assert_array_equal(places.cells[0], [24, 34])


def test_larger_errors_come_first_and_candidates_keep_apart() -> None:
    prior = _map((2, 2, 5, 0.8), (20, 20, 13, 0.8), (50, 50, 7, 0.8))
    places = additions(prior, _map(), INSIDE, NOBODY, Kind.ADD_POSITIVE)
    np.testing.assert_array_equal(places.cells[0], [26, 26])
    cells = places.cells[places.legal]
    gaps = np.abs(cells[:, None] - cells[None]).max(axis=-1)[~np.eye(len(cells), dtype=bool)]
    assert len(cells) == CANDIDATES and gaps.min() > APART


def test_where_mask_and_prior_agree_nothing_is_offered() -> None:
    agreed = _map((10, 10, 11, 1.0))
    for kind in (Kind.ADD_POSITIVE, Kind.ADD_NEGATIVE):
        places = additions(agreed, agreed, INSIDE, NOBODY, kind)
        assert not places.legal.any() and not places.numbers.any()


def test_padding_and_places_of_points_are_left_out() -> None:
    prior, inside = _map((10, 10, 3, 0.9), (40, 40, 9, 0.9)), INSIDE.copy()
    inside[32:] = False
    places = additions(prior, _map(), inside, np.array([[11, 11]]), Kind.ADD_POSITIVE)
    assert not places.legal.any()  # the small square is all beside the point, the large one lies in the padding


def test_the_least_likely_positive_is_removed_first_and_one_stays() -> None:
    prior, spots = _map((0, 0, 2, 0.9), (9, 9, 2, 0.2)), np.array([[0, 0], [9, 9], [30, 30]])
    places = removals(prior, np.zeros((CELLS, CELLS)), spots, np.array([0, 1]), None, Kind.REMOVE_POSITIVE)
    assert places.points.tolist() == [1, 0, -1, -1] and places.legal.tolist() == [True, True, False, False]
    alone = removals(prior, np.zeros((CELLS, CELLS)), spots, np.array([1]), None, Kind.REMOVE_POSITIVE)
    assert not alone.legal.any()


def test_the_most_likely_negative_is_removed_first_and_all_may_go() -> None:
    prior, spots = _map((9, 9, 2, 0.8)), np.array([[0, 0], [9, 9]])
    places = removals(prior, np.full((CELLS, CELLS), 20.0), spots, np.array([0, 1]), None, Kind.REMOVE_NEGATIVE)
    assert places.points[:2].tolist() == [1, 0]
    assert places.numbers[0].tolist() == pytest.approx([np.log(4) / 10, 1.0])
    assert removals(prior, np.zeros((CELLS, CELLS)), spots, np.array([0]), None, Kind.REMOVE_NEGATIVE).legal[0]


def test_the_point_of_the_last_action_stays() -> None:
    spots = np.array([[0, 0], [9, 9]])
    places = removals(_map(), _map(), spots, np.array([0, 1]), np.array([9, 9]), Kind.REMOVE_POSITIVE)
    assert places.points.tolist() == [0, -1, -1, -1]


@pytest.mark.parametrize("size", [(96, 128), (128, 96), (37, 511), (2000, 2000)])
def test_cells_and_pixels_agree(size: tuple[int, int]) -> None:
    corners = np.array([[0, 0], [size[1] - 1, size[0] - 1]])
    cells = to_cells(corners, size)
    long, short = max(size), min(size)
    assert cells[0].tolist() == [0, 0] and cells[1].max() == CELLS - 1
    assert cells[1].min() == pytest.approx(CELLS * short / long, abs=1.5)
    back = to_cells(from_cells(cells, size), size)
    np.testing.assert_array_equal(back, cells)
