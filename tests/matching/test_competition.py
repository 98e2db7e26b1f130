"""Classes that compete for pixels."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.matching.competition import compete, label_image


def test_probabilities_with_the_background_add_up_to_one() -> None:
    """Odds of 1, 2 and 4 beside the background's 1: probabilities of 1/8, 2/8 and 4/8."""
    logits = np.log(np.array([1.0, 2.0, 4.0])).reshape(3, 1, 1)
    probability = 1 / (1 + np.exp(-compete(logits)))
    assert probability.reshape(-1).tolist() == pytest.approx([1 / 8, 2 / 8, 4 / 8])


def test_one_class_keeps_its_own_and_large_odds_do_not_overflow() -> None:
    logits = np.array([[[-3.0, 12.0, 500.0]]], dtype=np.float32)
    assert np.array_equal(compete(logits), logits)
    both = compete(np.concatenate([logits, logits + 1]))
    assert np.isfinite(both).all() and (both[0, 0, 1:] < 0).all() and (both[1, 0, 1:] > 0).all()


def test_disputed_pixels_go_to_the_higher_odds() -> None:
    """A pixel under no mask is background whatever its odds; under one mask it is that class's."""
    first, second = np.array([[1, 1, 0, 0]], dtype=bool), np.array([[0, 1, 1, 0]], dtype=bool)
    logits = np.array([[[0.0, -1.0, 9.0, 9.0]], [[5.0, 1.0, -9.0, 9.0]]], dtype=np.float32)
    assert label_image([first, second], logits).tolist() == [[1, 2, 2, 0]]
    assert label_image([first, second], logits[::-1]).tolist() == [[1, 1, 2, 0]]
