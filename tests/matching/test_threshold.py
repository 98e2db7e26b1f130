"""Thresholds against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa.config import ThresholdConfig
from gpoa.matching.threshold import otsu_threshold, reference_threshold, to_score_map


@given(st.integers(1, 30), st.integers(1, 30), st.floats(-10, 10), st.floats(0.01, 10))
def test_otsu_parts_two_levels(low_count: int, high_count: int, low: float, step: float) -> None:
    values = np.repeat(np.array([low, low + step], np.float32), [low_count, high_count])
    assert (values >= otsu_threshold(values)).sum() == high_count


def test_otsu_of_three_levels() -> None:
    # {0, 1} | {9}: between-class variance 6*2 * 8.5^2 = 867; {0} | {1, 9}: 3*5 * 4.2^2 = 265.
    values = np.array([[0, 0, 0, 1], [1, 1, 9, 9]], np.float32)
    assert 1 < otsu_threshold(values) < 9


def test_otsu_of_a_constant() -> None:
    assert otsu_threshold(np.full((2, 3), 0.25, np.float32)) == 0.25


@pytest.mark.parametrize("values", [[0.5] * 8 + [0.50000006], [1.0, 1.0000001]])
def test_otsu_of_nearly_constant_values(values: list[float]) -> None:
    values = np.array(values, np.float32)
    assert len(np.unique(values)) == 2
    assert values.min() <= otsu_threshold(values) <= values.max()


def _iou(values: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    found = values >= threshold
    return float((found & labels).sum() / (found | labels).sum())


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 50), st.booleans()), min_size=1, max_size=12, unique_by=lambda pair: pair[0])
)
def test_reference_threshold_is_the_best_of_all(pairs: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in pairs], np.float32) / 8
    labels = np.array([label for _, label in pairs])
    labels[0] = True
    best = max(_iou(values, labels, threshold) for threshold in values)
    assert _iou(values, labels, reference_threshold(values, labels)) == pytest.approx(best)


def test_reference_threshold_lies_half_way() -> None:
    assert reference_threshold(np.array([4.0, 1.0, 3.0, 0.0]), np.array([True, False, True, False])) == 2.0


def test_reference_threshold_with_equal_scores() -> None:
    # At 1.0 three patches are found, one of them right: 1 / 4. At 0.9 all four: 2 / 4.
    values, labels = np.array([1.0, 1.0, 1.0, 0.9]), np.array([True, False, False, True])
    assert _iou(values, labels, reference_threshold(values, labels)) == 0.5


@pytest.mark.parametrize(
    ("config", "foreground"),
    [
        (ThresholdConfig(method="fixed", value=4.0), [[0, 0, 0], [0, 1, 1]]),  # 4 itself counts
        (ThresholdConfig(method="reference"), [[0, 1, 1], [1, 1, 1]]),  # the value handed in, 0.5
        (ThresholdConfig(method="otsu"), [[0, 0, 0], [0, 0, 1]]),  # 20 against the rest
        # Half-way between 0.5 and Otsu's threshold, which lies between 4 and 20 (Otsu's bins put it just above 4).
        (ThresholdConfig(method="blend", otsu_share=0.5), [[0, 0, 0], [1, 1, 1]]),
        (ThresholdConfig(method="blend", otsu_share=0.0), [[0, 1, 1], [1, 1, 1]]),  # the reference's alone
        (ThresholdConfig(method="blend", otsu_share=1.0), [[0, 0, 0], [0, 0, 1]]),  # Otsu's alone
    ],
)
def test_to_score_map(config: ThresholdConfig, foreground: list) -> None:
    values = np.array([0, 1, 2, 3, 4, 20], np.float32)
    score_map = to_score_map(values, (2, 3), config, from_reference=0.5)
    assert score_map.foreground.astype(int).tolist() == foreground
    assert score_map.values.dtype == np.float32
    assert score_map.scale == pytest.approx(values.std())
    np.testing.assert_allclose(score_map.logits * values.std() + score_map.threshold, score_map.values, atol=1e-4)


def test_constant_scores_have_a_positive_scale() -> None:
    score_map = to_score_map(np.zeros(6, np.float32), (2, 3), ThresholdConfig(method="otsu"), from_reference=0.0)
    assert score_map.scale > 0
    assert np.isfinite(score_map.logits).all()
