"""Scores of literal masks, the conventions, and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpoa.evaluation import metrics

MASKS = hnp.arrays(np.bool_, (5, 7))


NAMES = ("iou", "dice", "precision", "recall", "accuracy", "specificity")


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], (1, 1, 1, 1, 1, 1)),  # equal
        ([1, 1, 0, 0], [0, 0, 1, 1], (0, 0, 0, 0, 0, 0)),  # disjoint
        ([1, 1, 1, 0], [0, 1, 1, 1], (2 / 4, 4 / 6, 2 / 3, 2 / 3, 2 / 4, 0)),
        ([1, 1, 1, 1], [1, 0, 0, 0], (1 / 4, 2 / 5, 1 / 4, 1, 1 / 4, 0)),  # too much
        ([0, 0, 0, 0], [0, 0, 0, 0], (1, 1, 1, 1, 1, 1)),  # both empty: rightly nothing
        ([0, 0, 0, 0], [1, 1, 0, 0], (0, 0, 0, 0, 2 / 4, 1)),  # nothing found
        ([1, 0, 0, 0], [0, 0, 0, 0], (0, 0, 0, 0, 3 / 4, 3 / 4)),  # something where nothing is
        ([255, 0, 0, 0], [1, 1, 0, 0], (1 / 2, 2 / 3, 1, 1 / 2, 3 / 4, 1)),  # integers: non-zero
        ([1, 1, 0, 0], [1, 1, 1, 1], (1 / 2, 2 / 3, 1, 1 / 2, 1 / 2, 1)),  # no background that could be lost
        ([1, 1, 1, 1], [1, 1, 1, 1], (1, 1, 1, 1, 1, 1)),  # both full
    ],
)
def test_scores(prediction: list, truth: list, expected: tuple) -> None:
    """By hand, in the order of NAMES."""
    a, b = np.array([prediction]), np.array([truth])
    scores = metrics.score_masks(a, b)
    assert [getattr(scores, name) for name in NAMES] == pytest.approx(expected)
    functions = (metrics.iou, metrics.dice, metrics.precision, metrics.recall)
    assert [function(a, b) for function in functions] == pytest.approx(expected[:4])


def test_counts() -> None:
    """TP, FP, FN, TN."""
    scores = metrics.score_masks(np.array([[1, 1, 1, 0, 0, 0]]), np.array([[1, 0, 0, 1, 0, 0]]))
    assert scores == metrics.MaskScores(1, 2, 1, 2)


def test_all() -> None:
    """Every name in its order; a square of 2 x 2 against one of 2 x 3 in an image of 6 x 8 (diagonal 10, d = 1)."""
    prediction, truth = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    prediction[2:4, 2:4] = truth[2:4, 2:5] = True
    scores = metrics.score_all(prediction, truth)
    assert tuple(scores) == metrics.METRICS
    # Boundary: all pixels of both. From the prediction 4 zeros; back 4 zeros and 2 ones.
    expected = (4 / 6, 8 / 10, 4 / 6, 1.0, 2 / 10, 1, 4 / 6, 1, 46 / 48)
    assert tuple(scores.values()) == pytest.approx(expected)
    assert all(type(value) is float for value in scores.values())


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (0, 0, (1, 1, 1, 0, 0, 1, 1, 1, 1)),
        (0, 1, (0, 0, 0, 5, 5, 0, 0, 1, 0)),  # 3 x 4 pixels: the diagonal is 5
        (1, 0, (0, 0, 0, 5, 5, 0, 0, 0, 0)),
        (1, 1, (1, 1, 1, 0, 0, 1, 1, 1, 1)),
    ],
)
def test_all_of_empty_and_full(prediction: int, truth: int, expected: tuple) -> None:
    """The conventions, in the order of METRICS; finite everywhere."""
    scores = metrics.score_all(np.full((3, 4), prediction), np.full((3, 4), truth))
    assert tuple(scores.values()) == expected


@given(MASKS, MASKS)
def test_all_agrees_with_the_parts(a: np.ndarray, b: np.ndarray) -> None:
    """Overlap scores from the counts, and against set arithmetic."""
    scores, counts = metrics.score_all(a, b), metrics.score_masks(a, b)
    assert all(scores[name] == getattr(counts, name) for name in NAMES)
    if (a | b).any():
        assert scores["iou"] == (a & b).sum() / (a | b).sum()
        assert scores["dice"] == 2 * (a & b).sum() / (a.sum() + b.sum())
    assert scores["accuracy"] == (a == b).mean()
    assert scores["specificity"] == ((~a & ~b).sum() / (~b).sum() if (~b).any() else 1)
    for name, value in scores.items():
        assert value >= 0 and (value <= 1 or not metrics.HIGHER_IS_BETTER[name])


def test_names() -> None:
    """Distances are the only ones of which less is better."""
    assert {name for name in metrics.METRICS if not metrics.HIGHER_IS_BETTER[name]} == {"hd95", "assd"}


@given(MASKS, MASKS)
def test_properties(a: np.ndarray, b: np.ndarray) -> None:
    """Counts add up, scores lie in [0, 1], Dice follows from IoU, precision and recall exchange."""
    scores, reverse = metrics.score_masks(a, b), metrics.score_masks(b, a)
    total = scores.true_positive + scores.false_positive + scores.false_negative + scores.true_negative
    assert total == a.size
    assert 0 <= scores.iou <= scores.dice <= 1
    assert scores.dice == pytest.approx(2 * scores.iou / (1 + scores.iou))
    assert (scores.iou, scores.precision) == (reverse.iou, reverse.recall)
    assert metrics.iou(a, a) == 1


def test_sizes_must_agree() -> None:
    """Nothing is resized silently, and nothing broadcasts."""
    with pytest.raises(ValueError, match=r"prediction is \(1, 3\) but truth is \(2, 3\)"):
        metrics.score_masks(np.zeros((1, 3), bool), np.zeros((2, 3), bool))


def test_probabilities_are_refused() -> None:
    """0.1 would count as foreground."""
    with pytest.raises(ValueError, match="threshold it first"):
        metrics.score_masks(np.full((2, 3), 0.1), np.zeros((2, 3), bool))


def test_bootstrap_of_a_constant() -> None:
    """No spread, no width."""
    assert metrics.paired_bootstrap(np.full(5, 0.25), seed=0, samples=50) == (0.25, 0.25, 0.25)


def test_bootstrap_repeats_and_brackets() -> None:
    """The same seed gives the same interval; its half width is about 1.96 standard errors."""
    values = np.random.default_rng(1).normal(0.3, 1.0, 400)
    interval = metrics.paired_bootstrap(values, seed=7)
    assert interval == metrics.paired_bootstrap(values, seed=7)
    assert interval != metrics.paired_bootstrap(values, seed=8)
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.05)


@pytest.mark.parametrize("values", [[], [0.1, np.nan]])
def test_bootstrap_needs_finite_values(values: list) -> None:
    """Nothing to draw from."""
    with pytest.raises(ValueError, match="finite"):
        metrics.paired_bootstrap(np.array(values), seed=0)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.integers(0, 99))
def test_bootstrap_stays_in_range(values: list[float], seed: int) -> None:
    """A mean of drawn values lies between the smallest and the largest."""
    mean, low, high = metrics.paired_bootstrap(np.array(values), seed, samples=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert min(values) - 1e-9 <= mean <= max(values) + 1e-9
