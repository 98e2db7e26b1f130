from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa.baselines.matcher import (
    Filters,
    Matcher,
    Weights,
    earth_movers_distance,
    match_patches,
    propose,
    purity_and_coverage,
    sample_prompts,
    stability,
    suppress,
)
from gpoa.errors import MaskError
from gpoa.matching.reference import Reference
from gpoa.types import MaskPrediction
from tests.baselines.fakes import BLUE, RED, FakeModels, coloured, iou, picture


def unit(degrees: list[float]) -> np.ndarray:
    """Unit vectors [N, 2] at angles."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def fit(method: Matcher) -> Matcher:
    reference = picture((64, 64), (0, 0, 32, RED))
    method.fit(reference, coloured(reference, RED))
    return method


@pytest.mark.parametrize(
    ("size", "square"),
    [((96, 64), (48, 16, 32)), ((64, 128), (16, 80, 32)), ((128, 128), (96, 24, 8))],  # the last one is a single patch
)
def test_finds_the_red_square(size: tuple[int, int], square: tuple[int, int, int]) -> None:
    target = picture(size, (*square, RED), (0, 0, 16, BLUE))
    method = fit(Matcher(FakeModels(), merged=1))
    answer = method.predict(target)
    assert iou(answer.mask, coloured(target, RED)) > 0.85
    assert answer.confidence == pytest.approx(1.0, abs=1e-3)
    assert 0 < len(method.models.segmenter.calls) <= 60


def test_absent_object_gives_an_empty_mask_and_no_call() -> None:
    method = fit(Matcher(FakeModels()))
    answer = method.predict(picture((64, 96), (0, 0, 16, BLUE)))
    assert not answer.mask.any()
    assert (answer.mask.shape, answer.confidence, method.models.segmenter.calls) == ((64, 96), 0.0, [])


def test_answers_do_not_depend_on_what_came_before() -> None:
    target = picture((64, 64), (32, 32, 32, RED))
    method = fit(Matcher(FakeModels(), seed=3, samples=9))
    first = method.predict(target)
    calls = [call.point_coords.tolist() for call in method.models.segmenter.calls]
    method.models.segmenter.calls.clear()
    second = method.predict(target)
    assert calls == [call.point_coords.tolist() for call in method.models.segmenter.calls]
    assert (first.mask == second.mask).all()


def test_purity_prefers_the_tight_mask() -> None:
    tight, wide = np.zeros(16), np.ones(16)
    tight[:4] = 1
    matched = np.arange(4)
    assert purity_and_coverage(tight, matched) == (1.0, 1.0)
    assert purity_and_coverage(wide, matched) == (0.25, 1.0)
    assert purity_and_coverage(tight, np.array([0, 1, 8, 9])) == (0.5, 0.5)
    # in the whole method: with purity alone as the score the mask of everything is not the best
    target = picture((64, 64), (0, 0, 32, RED))
    method = fit(Matcher(FakeModels(), weights=Weights(0, 1, 1), merged=1, filters=Filters(box_overlap=1.0)))
    assert iou(method.predict(target).mask, coloured(target, RED)) > 0.85


def test_match_that_does_not_return_is_dropped() -> None:
    # Foreground at 0 degrees, background at 40 and 90. The nearest target patch, at 30, is nearer to the one at 40.
    reference = Reference(unit([0, 40, 90]), np.array([1.0, 0.0, 0.0], dtype=np.float32))
    assert match_patches(reference, unit([100, 30])).tolist() == []
    assert match_patches(reference, unit([100, 10])).tolist() == [1]


def test_matching_is_one_to_one() -> None:
    # Two foreground patches, one like patch in the target: the other has to take the background, and leads back to it.
    reference = Reference(unit([0, 1, 90]), np.array([1.0, 1.0, 0.0], dtype=np.float32))
    assert match_patches(reference, unit([0, 90])).tolist() == [0]
    assert match_patches(reference, unit([0, 2, 90])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ([[0.0, 1.0], [1.0, 0.0]], 0.0),  # each stays
        ([[0.0, 1.0], [0.0, 1.0]], 0.5),  # one of two has to move
        ([[0.2, 0.6]], 0.4),  # one member splits into halves
        ([[0.0, 0.0, 3.0], [3.0, 3.0, 0.0]], 0.5),  # halves to thirds: a sixth of the weight moves at cost 3
    ],
)
def test_earth_movers_distance_by_hand(cost: list[list[float]], expected: float) -> None:
    assert earth_movers_distance(np.array(cost)) == pytest.approx(expected)


@given(st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=20, deadline=None)
def test_earth_movers_distance_of_a_constant_cost(rows: int, columns: int) -> None:
    assert earth_movers_distance(np.full((rows, columns), 0.3)) == pytest.approx(0.3)


def test_sampler_draws_small_distinct_sets_of_each_kind() -> None:
    xy = np.array([[0, 0], [1, 0], [0, 1], [100, 100], [101, 100], [100, 101]], dtype=np.float32)
    prompts = sample_prompts(xy, count=60, clusters=2, sizes=(1, 3), seed=0)
    sets = {prompt.point_coords.tobytes() for prompt in prompts}
    assert len(sets) == len(prompts) <= 60
    assert {len(prompt.point_labels) for prompt in prompts} == {1, 2, 3}
    assert all((prompt.point_labels == 1).all() for prompt in prompts)
    places = {tuple(point) for prompt in prompts for point in prompt.point_coords.tolist()}
    centers = sorted(places - {tuple(point) for point in xy.tolist()})
    assert np.round(centers, 3).tolist() == [[0.333, 0.333], [100.333, 100.333]]


@pytest.mark.parametrize("count", [1, 2])
def test_sampler_with_few_places(count: int) -> None:
    prompts = sample_prompts(np.zeros((count, 2), dtype=np.float32), count=6, clusters=8, sizes=(1, 6), seed=0)
    assert 1 <= len(prompts) <= count


def test_stability_by_hand() -> None:
    logits = np.full((2, 256, 256), -5.0)
    logits[0, 0, :4], logits[0, 1, :4] = 5.0, 0.5  # four sure pixels, four that hang on the threshold
    assert stability(logits).tolist() == [0.5, 0.0]


def test_suppress_keeps_the_better_of_two_like_boxes() -> None:
    masks = np.zeros((3, 8, 8), dtype=bool)
    masks[0, :4, :4], masks[1, :4, :5], masks[2, 6:, 6:] = True, True, True  # boxes 0 and 1: IoU 16/20
    assert suppress(masks, np.array([0.8, 0.9, 0.7]), 0.65).tolist() == [1, 2]
    assert suppress(masks, np.array([0.8, 0.9, 0.7]), 0.85).tolist() == [1, 0, 2]


def test_propose_falls_back_on_all_masks() -> None:
    logits = np.full((1, 3, 256, 256), -5.0, dtype=np.float32)
    logits[0, 0, :9, :9], logits[0, 1, 100:, 100:] = 5.0, 5.0  # the third one is empty
    unsure = MaskPrediction(logits, np.array([[0.3, 0.4, 0.9]], dtype=np.float32))
    assert len(propose(unsure, Filters())) == 2
    one_sure = MaskPrediction(logits, np.array([[0.3, 0.9, 0.9]], dtype=np.float32))
    assert (propose(one_sure, Filters()) == logits[0, 1:2]).all()
    empty = MaskPrediction(np.full((1, 3, 256, 256), -5.0, dtype=np.float32), np.ones((1, 3), dtype=np.float32))
    assert len(propose(empty, Filters())) == 0


@pytest.mark.parametrize(("value", "match"), [(False, "empty"), (True, "covers every patch")])
def test_useless_reference_is_refused(value: bool, match: str) -> None:
    with pytest.raises(MaskError, match=match):
        Matcher(FakeModels()).fit(picture((64, 64)), np.full((64, 64), value))
