"""Counts, size distributions and size classes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.evaluation.counting import areas_of, count_error, score_size_class, size_distance


def test_counts() -> None:
    assert (count_error(8, 10), count_error(12, 10), count_error(0, 0), count_error(3, 0)) == (0.2, 0.2, 0, 1)


def test_sizes() -> None:
    disc = np.pi * np.array([1.0, 2.0, 3.0]) ** 2  # diameters 2, 4, 6
    assert size_distance(disc, disc) == 0
    assert size_distance(4 * disc, disc) == pytest.approx(1)  # twice the diameter: 4 further on average, of a median 4
    assert size_distance(disc[:0], disc[:0]) == 0 and size_distance(disc, disc[:0]) == 1


def test_objects_of_other_sizes_do_not_count() -> None:
    # True: 10 and 400 px. Predicted: the large one, one that matches the small one, and a small one beside everything.
    ious = np.array([[0.0, 0.8], [0.7, 0.0], [0.0, 0.0]])
    predicted, true = np.array([390, 150, 12]), np.array([10, 400])
    large = score_size_class(ious, predicted, true, 100, np.inf)
    assert (large.n_predicted, large.n_true, large.matched) == (1, 1, 1)
    small = score_size_class(ious, predicted, true, 0, 100)
    assert (small.n_predicted, small.n_true, small.matched) == (2, 1, 1)
    none = score_size_class(np.zeros((0, 2)), predicted[:0], true, 100, np.inf)
    assert (none.n_predicted, none.n_true) == (0, 1)


def test_areas() -> None:
    assert areas_of(np.array([[0, 7, 7], [9, 0, 0]])).tolist() == [2, 1]
