"""Scores without ground truth on hand-made logits and separable tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpoa.matching.reference import Reference
from gpoa.matching.relational_maps import JUDGE_WIDTH, STABILITY_OFFSET, soft_iou, stability
from gpoa.search.judges import MIXTURE, Evidence, make_judge, reduce_width, relational_scores
from tests.matching.builders import features_of, on_circle, score_map_of

GRID, SIZE = (4, 8), (100, 200)  # the image fills the upper 128 rows of the low-resolution frame
OBJECT = np.zeros(GRID, dtype=bool)
OBJECT[1:3, 2:5] = True
TOKENS = np.where(OBJECT.reshape(-1, 1), on_circle(0), on_circle(90))
FEATURES = features_of(GRID, SIZE, TOKENS)
SCORE_MAP = score_map_of(np.where(OBJECT, 2.0, -2.0))
EVIDENCE = Evidence(SCORE_MAP, FEATURES, Reference(TOKENS, OBJECT.reshape(-1).astype(np.float32)))


def _logits(patches: np.ndarray) -> np.ndarray:
    """[256, 256] logits of +-5, from a mask on the 4 x 8 grid."""
    logits = np.full((256, 256), -5.0, np.float32)
    logits[:128] = np.kron(np.where(patches, 5.0, -5.0), np.ones((32, 32)))
    return logits


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([2, 2, 2, -2], 1.0),  # no doubtful pixel
        ([2, 0, 0, -2], 1 / 3),
        ([0, 0, -2, -2], 0.0),  # nothing is sure
        ([-2, -2, -2, -2], 0.0),  # empty
    ],
)
def test_stability(levels: list[float], expected: float) -> None:
    logits = np.array(levels, np.float32) * STABILITY_OFFSET
    assert stability(logits) == pytest.approx(expected)
    assert make_judge("stability", EVIDENCE)(logits, 0.9) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 0.5, 0], [0.5, 0.5, 0.5], 0.5),  # (.5 + .5 + 0) / (1 + .5 + .5)
        ([1, 0], [1, 0], 1.0),
        ([1, 0], [0, 1], 0.0),
        ([0, 0], [0, 0], 0.0),  # both empty
    ],
)
def test_soft_iou(a: list[float], b: list[float], expected: float) -> None:
    assert soft_iou(np.array(a), np.array(b)) == pytest.approx(expected)
    assert soft_iou(np.array(b), np.array(a)) == pytest.approx(expected)


@given(hnp.arrays(np.float64, (2, 5), elements=st.floats(0, 1)))
def test_soft_iou_lies_in_the_unit_interval(pair: np.ndarray) -> None:
    assert 0.0 <= soft_iou(pair[0], pair[1]) <= 1.0


@pytest.mark.parametrize(("predicted", "score"), [(0.37, 0.37), (1.2, 1.0), (-0.1, 0.0)])
def test_sam_iou_is_clipped(predicted: float, score: float) -> None:
    assert make_judge("sam-iou", EVIDENCE)(_logits(OBJECT), predicted) == pytest.approx(score)


def test_the_true_mask_scores_near_one() -> None:
    scores = relational_scores(_logits(OBJECT), EVIDENCE)
    assert scores["separability"] > 0.99
    assert scores["reverse"] > 0.99
    assert scores["agreement"] > 0.8


@pytest.mark.parametrize("name", ["separability", "agreement", "mixed"])
@pytest.mark.parametrize(
    "wrong",
    [
        np.roll(OBJECT, 1, axis=1),  # shifted by a patch
        np.roll(OBJECT, 3, axis=1),  # beside the object
        np.roll(OBJECT, 1, axis=0),
    ],
)
def test_the_true_mask_beats_a_shifted_one(name: str, wrong: np.ndarray) -> None:
    judge = make_judge(name, EVIDENCE)  # type: ignore[arg-type]
    assert judge(_logits(OBJECT), 0.8) > judge(_logits(wrong), 0.8) + 0.1


def test_reverse_check_sees_a_miss() -> None:
    judge = make_judge("reverse", EVIDENCE)  # type: ignore[arg-type]
    assert judge(_logits(OBJECT), 0.8) > judge(_logits(np.roll(OBJECT, 3, axis=1)), 0.8) + 0.1


@pytest.mark.parametrize("mask", [np.zeros(GRID, bool), np.ones(GRID, bool)])
def test_empty_and_full_masks_score_zero(mask: np.ndarray) -> None:
    assert relational_scores(_logits(mask), EVIDENCE) == {"agreement": 0.0, "separability": 0.0, "reverse": 0.0}


def test_padding_does_not_count() -> None:
    logits = _logits(OBJECT)
    logits[128:] = 5.0
    assert relational_scores(logits, EVIDENCE) == relational_scores(_logits(OBJECT), EVIDENCE)


def test_mixed_is_the_mean_of_its_parts() -> None:
    logits = _logits(np.roll(OBJECT, 1, axis=1))
    parts = relational_scores(logits, EVIDENCE) | {"sam-iou": 0.25}
    assert make_judge("mixed", EVIDENCE)(logits, 0.25) == pytest.approx(np.mean([parts[name] for name in MIXTURE]))


def test_mixed_without_a_reference_leaves_the_reverse_check_out() -> None:
    evidence = Evidence(SCORE_MAP, FEATURES)
    logits = _logits(OBJECT)
    parts = relational_scores(logits, evidence)
    assert set(parts) == {"agreement", "separability"}
    assert make_judge("mixed", evidence)(logits, 1.0) == pytest.approx((sum(parts.values()) + 1.0) / 3)


def test_without_a_score_map_the_agreement_is_left_out() -> None:
    scores = relational_scores(_logits(OBJECT), Evidence(None, FEATURES))
    assert set(scores) == {"separability"}


def test_evenly_speckled_mask_has_a_finite_score() -> None:
    logits = np.full((256, 256), -5.0, np.float32)
    logits[::2, ::2] = 5.0  # a quarter of every patch
    assert np.isfinite(make_judge("mixed", EVIDENCE)(logits, 0.5))


def test_narrow_tokens_stay_as_they_are() -> None:
    assert reduce_width(EVIDENCE) is EVIDENCE


def test_wide_tokens_keep_their_products() -> None:
    tokens = np.random.default_rng(1).normal(size=(32, 3 * JUDGE_WIDTH)).astype(np.float32)
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    evidence = Evidence(SCORE_MAP, features_of(GRID, SIZE, tokens), Reference(tokens[:5], np.ones(5, np.float32)))
    reduced, again = reduce_width(evidence), reduce_width(evidence)
    assert reduced.features.tokens.shape == (32, JUDGE_WIDTH)
    np.testing.assert_array_equal(reduced.features.tokens, again.features.tokens)
    # One projection for both.
    np.testing.assert_allclose(reduced.reference.tokens, reduced.features.tokens[:5], atol=1e-5)
    products = reduced.features.tokens @ reduced.features.tokens.T
    np.testing.assert_allclose(products, tokens @ tokens.T, atol=6 / np.sqrt(JUDGE_WIDTH))
    assert evidence.features.tokens.shape == (32, 3 * JUDGE_WIDTH)


@pytest.mark.parametrize("name", ["sam-iou", "stability", "agreement", "separability", "mixed"])
def test_every_judge_lies_in_the_unit_interval(name: str) -> None:
    judge = make_judge(name, EVIDENCE)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    scores = [judge(rng.normal(level, 3, (256, 256)).astype(np.float32), 0.6) for level in (-8, -3, 0, 3)]
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert all(isinstance(score, float) for score in scores)
