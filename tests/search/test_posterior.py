"""Expected IoU by hand, and which mask is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from gpoa.search.posterior import JudgeWeights, Posterior, choose_by_posterior, prompt_sets
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


def test_keeps_the_mask_that_is_expected_to_fit() -> None:
    decode, calls = _decode("points")
    dense = np.full((256, 256), -20.0, dtype=np.float32)
    weights = JudgeWeights(prior=-0.5)  # the prior, which is right here, holds back
    result = choose_by_posterior(
        prompt_sets(_start(dense), _score_map(), SIZE, 1.5), decode, _score_map(), SIZE, 2, weights
    )
    assert result.best.name == "points only, output 2" and result.best.prompts.mask_output == 2
    assert len(calls) == 2 and len(result.trials) == 2 * 4 + 1 and result.trials[0].name == "start"
    assert result.best.score == pytest.approx(1.0, abs=1e-3)


def test_the_prior_itself_takes_part() -> None:
    sets = [("start", _start(None))]
    result = choose_by_posterior(iter(sets), lambda s: _wrong(), _score_map(), SIZE, 1)
    assert result.best.name == "prior" and result.best.prompts.mask_output == DENSE_OUTPUT
    assert (result.best.logits > 0).sum() == 64 * 64
    timid = choose_by_posterior(iter(sets), lambda s: _wrong(), _score_map(), SIZE, 1, JudgeWeights(prior=-2.0))
    assert timid.best.name != "prior"


def _wrong() -> MaskPrediction:
    return MaskPrediction(np.full((1, 4, 256, 256), -5.0, dtype=np.float32), np.zeros((1, 4), dtype=np.float32))


def test_budget_and_empty_sets() -> None:
    decode, calls = _decode("points")
    choose_by_posterior(prompt_sets(_start(None), _score_map(), SIZE, 1.5), decode, _score_map(), SIZE, 3)
    assert len(calls) == 3 and all(not one.is_empty for one in calls)


def test_margin_protects_the_start() -> None:
    decode, _ = _decode("points")
    sets = prompt_sets(_start(None), _score_map(), SIZE, 1.5)
    assert choose_by_posterior(sets, decode, _score_map(), SIZE, 4, margin=1.5).best.name == "start"
