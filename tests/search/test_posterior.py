"""Expected IoU by hand, and which mask is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gpoa.search.posterior import FUSED_CONSTANT, FUSED_WEIGHT, Posterior, choose_by_posterior, prompt_sets
from gpoa.types import DENSE_OUTPUT, MaskPrediction, PointPrompts, ScoreMap

SIZE = (256, 256)


def _score_map() -> ScoreMap:
    """Certain inside of a square of 64 x 64, certain of nothing outside."""
    detail = np.full((256, 256), -12.0, dtype=np.float32)
    detail[64:128, 64:128] = 12.0
    return ScoreMap(detail.reshape(64, 4, 64, 4).max(axis=(1, 3)), 0.0, 1.0, detail)


def _start(dense: np.ndarray | None) -> PointPrompts:
    points = np.array([[90, 90], [100, 100], [10, 10]], dtype=np.float32)
    return PointPrompts(points, np.array([1, 1, 0]), mask_prompt=dense)


def test_expected_iou_of_a_certain_map_is_the_iou() -> None:
    posterior = Posterior.of(_score_map(), SIZE)
    masks = np.zeros((3, 256, 256), dtype=bool)
    masks[0, 64:128, 64:128] = True
    masks[1, 64:128, 64:96] = True
    assert posterior.expected_iou(masks) == pytest.approx([1.0, 0.5, 0.0], abs=1e-3)


def test_expected_iou_by_hand() -> None:
    """Four cells of p = .5 and a mask of two of them: 1 / (2 + 2 - 1)."""
    probability = np.zeros((256, 256), dtype=np.float32)
    probability[0, :4] = 0.5
    mask = np.zeros((1, 256, 256), dtype=bool)
    mask[0, 0, :2] = True
    assert Posterior(probability).expected_iou(mask) == pytest.approx([1 / 3])


def _decode(right: str):
    """A segmenter whose output 2 of the set without a dense prompt is right, and whose others are not."""
    calls = []

    def decode(sets: Sequence[PointPrompts]) -> MaskPrediction:
        calls.append(sets[0])
        logits = np.full((1, 4, 256, 256), -5.0, dtype=np.float32)
        logits[0, :, :30, :30] = 5.0
        if (sets[0].mask_prompt is None) == (right == "points"):
            logits[0, 2] = -5.0
            logits[0, 2, 64:128, 64:128] = 5.0
        return MaskPrediction(logits, np.full((1, 4), 0.9, dtype=np.float32))

    return decode, calls


def test_leaves_the_fused_mask_for_one_of_which_much_more_is_expected() -> None:
    decode, calls = _decode("points")
    dense = np.full((256, 256), -20.0, dtype=np.float32)
    score_map = _score_map()
    assert score_map.detail is not None
    unsure = replace(score_map, detail=score_map.detail / 12 - 0.5)  # p .62 inside, .18 outside
    result = choose_by_posterior(prompt_sets(_start(dense), unsure, SIZE, 1.5), decode, unsure, SIZE, 2, margin=-1.0)
    assert result.best.name in ("points only, output 2", "prior")  # both are the square
    assert (result.best.logits > 0).sum() == 64 * 64
    assert len(calls) == 2 and len(result.trials) == 2 * 4 + 2 and result.trials[0].name == "start"
    assert [trial.name for trial in result.trials[-2:]] == ["prior", "fused"]


def test_fused_by_hand() -> None:
    """Certain prior, four equal masks of probability 1/4 inside: (1 + 1/4) / 2 = .625 inside, next to nothing outside.

    The expected IoU of the square is .625, and the score an estimate made of it.
    """
    logits = np.full((1, 4, 256, 256), -30.0, dtype=np.float32)
    logits[0, :, 64:128, 64:128] = -np.log(3.0)
    answer = MaskPrediction(logits, np.zeros((1, 4), dtype=np.float32))
    best = choose_by_posterior(iter([("start", _start(None))]), lambda s: answer, _score_map(), SIZE, 1).best
    assert best.name == "fused" and best.prompts.mask_output == DENSE_OUTPUT
    assert (best.logits > 0).sum() == 64 * 64
    assert best.logits[70, 70] == pytest.approx(np.log(0.625 / 0.375), abs=2e-3)
    assert best.score == pytest.approx(FUSED_CONSTANT + FUSED_WEIGHT * 0.625, abs=2e-3)
    np.testing.assert_array_equal(best.prompts.mask_prompt, best.logits)  # what a prompt file keeps is the mask


def test_one_confident_mask_is_outvoted_by_the_prior_and_the_other_masks() -> None:
    """The decoder's single mask takes the whole image for the object, its others and the prior the square."""
    logits = np.full((1, 4, 256, 256), -9.0, dtype=np.float32)
    logits[0, 1:, 64:128, 64:128] = 9.0
    logits[0, 0] = 9.0
    answer = MaskPrediction(logits, np.ones((1, 4), dtype=np.float32))
    best = choose_by_posterior(iter([("start", _start(None))]), lambda s: answer, _score_map(), SIZE, 1).best
    assert (best.logits > 0).sum() == 64 * 64


def _wrong() -> MaskPrediction:
    return MaskPrediction(np.full((1, 4, 256, 256), -5.0, dtype=np.float32), np.zeros((1, 4), dtype=np.float32))


def test_budget_and_empty_sets() -> None:
    decode, calls = _decode("points")
    choose_by_posterior(prompt_sets(_start(None), _score_map(), SIZE, 1.5), decode, _score_map(), SIZE, 3)
    assert len(calls) == 3 and all(not one.is_empty for one in calls)


def test_margin_protects_the_fused_mask() -> None:
    decode, _ = _decode("points")
    sets = prompt_sets(_start(None), _score_map(), SIZE, 1.5)
    assert choose_by_posterior(sets, decode, _score_map(), SIZE, 4, margin=1.5).best.name == "fused"
