"""Clicks to a quality, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.evaluation.clicks import Clicks, mean_clicks, number_of_clicks


@pytest.mark.parametrize(
    ("ious", "target", "limit", "expected"),
    [
        ([0.5, 0.8, 0.9], 0.85, 20, 3),
        ([0.9, 0.2], 0.85, 20, 1),  # reached at once; the later loss does not count
        ([0.85], 0.85, 20, 1),  # equal is reached
        ([0.5, 0.6], 0.85, 20, 20),  # never
        ([], 0.85, 20, 20),  # no click at all
        ([0.1] * 5 + [0.95], 0.9, 5, 5),  # too late
        ([0.1] * 4 + [0.95], 0.9, 5, 5),  # just in time
    ],
)
def test_number(ious: list[float], target: float, limit: int, expected: int) -> None:
    assert number_of_clicks(ious, target, limit) == expected


def test_mean() -> None:
    """3, 1 and the limit; one of three fails, and reaching the target with the last click is no failure."""
    runs = [[0.1, 0.2, 0.9], [0.9], [0.3]]
    assert mean_clicks(runs, 0.85, limit=5) == pytest.approx(Clicks((3 + 1 + 5) / 3, 1 / 3))
    assert mean_clicks([[0.1, 0.9]], 0.9, limit=2) == (2, 0)


@given(st.lists(st.floats(0, 1), max_size=25), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_higher_target_takes_no_fewer(ious: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 1 <= number_of_clicks(ious, low) <= number_of_clicks(ious, high) <= 20


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([1.2], 0.85), "ious_per_click"),
        (([math.nan], 0.85), "ious_per_click"),
        (([0.5], 85), "target"),  # percent
        (([0.5], 0.0), "target"),
        (([0.5], 0.85, 0), "limit"),
    ],
)
def test_refused(arguments: tuple, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        number_of_clicks(*arguments)


def test_no_image() -> None:
    with pytest.raises(ValueError, match="one or more images"):
        mean_clicks([], 0.85)
