from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa.baselines.score_map import ScoreMapMask, WalkerMask, plain_mask, seeds, walker_mask
from gpoa.config import GpoaConfig
from gpoa.errors import DataError, MaskError
from gpoa.types import ScoreMap
from tests.fake_backbones import FakeBackbones

MODELS = FakeBackbones(GpoaConfig())
BOTH = (ScoreMapMask, WalkerMask)


def score_map(values: list[list[float]]) -> ScoreMap:
    return ScoreMap(np.array(values, dtype=np.float32), threshold=0.0, scale=1.0)


def square(size: tuple[int, int], rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """(image [H, W, 3], mask [H, W]): a red square on green."""
    mask = np.zeros(size, dtype=bool)
    mask[rows, columns] = True
    image = np.where(mask[..., None], [200, 40, 40], [40, 160, 60]).astype(np.uint8)
    return image, mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_the_plain_mask_is_the_interpolated_map_above_zero() -> None:
    found = plain_mask(score_map([[-1, 1]]), (1, 8))
    # Cell centres lie at columns 1.5 and 5.5; the line between them crosses 0 half-way, at 3.5.
    np.testing.assert_array_equal(found, [[False] * 4 + [True] * 4])


def test_the_walker_extends_a_coarse_map_to_the_true_edge_of_a_square() -> None:
    image, mask = square((64, 96), slice(13, 45), slice(21, 63))
    # Sure of the middle and of what lies far out, undecided by up to a cell between.
    between, out = [-0.6, -0.1, 1, -0.1, -0.1, -0.6], [-0.6] * 6
    coarse = score_map([out, between, between, out])
    assert iou(plain_mask(coarse, (64, 96)), mask) < 0.6
    np.testing.assert_array_equal(walker_mask(image, coarse), mask)


def test_the_walker_works_on_a_smaller_copy_of_a_large_image() -> None:
    image, mask = square((400, 640), slice(101, 299), slice(203, 455))
    coarse = np.full((8, 8), -1.0)
    coarse[1:7, 1:7] = -0.1
    coarse[3:5, 3:5] = 1
    found = walker_mask(image, score_map(coarse.tolist()))
    assert found.shape == (400, 640)
    assert iou(plain_mask(score_map(coarse.tolist()), (400, 640)), mask) < 0.8
    assert iou(found, mask) > 0.97


def test_seeds_by_hand() -> None:
    logits = np.array([[-2.0, -0.4, 0.0, 0.4, 0.6]], dtype=np.float32)
    np.testing.assert_array_equal(seeds(logits), [[1, 0, 0, 0, 2]])
    # A side that stays below the level gives half of its own extreme.
    np.testing.assert_array_equal(seeds(np.array([[-2.0, 0.04, 0.06, 0.1]])), [[1, 0, 2, 2]])
    assert seeds(np.array([[-2.0, 0.0]])) is None
    assert seeds(np.array([[0.0, 2.0]])) is None


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_a_map_with_one_side_is_left_as_it_is(value: float) -> None:
    image, _ = square((20, 30), slice(5, 9), slice(5, 9))
    np.testing.assert_array_equal(walker_mask(image, score_map([[value] * 2] * 2)), np.full((20, 30), value > 0))


def test_a_constant_image_keeps_the_plain_mask() -> None:
    coarse = score_map([[-1, 1], [-1, 1]])
    image = np.full((20, 30, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(walker_mask(image, coarse), plain_mask(coarse, (20, 30)))


def test_a_map_without_doubt_needs_no_walk() -> None:
    image, _ = square((2, 2), slice(0, 1), slice(0, 1))
    np.testing.assert_array_equal(walker_mask(image, score_map([[9, -9], [-9, -9]])), [[True, False], [False, False]])


def test_both_find_the_object_and_the_walker_starts_from_the_plain_mask() -> None:
    reference, label = square((160, 240), slice(40, 100), slice(30, 120))
    target, mask = square((240, 160), slice(105, 190), slice(41, 112))
    answers = []
    for build in BOTH:
        method = build(MODELS)
        method.fit(reference, label)
        answers.append(method.predict(target))
    assert all(iou(answer.mask, mask) > 0.8 for answer in answers)
    assert not np.array_equal(answers[0].mask, answers[1].mask)
    np.testing.assert_array_equal(answers[1].start, answers[0].mask)
    assert 0.9 < answers[0].confidence == answers[1].confidence <= 1


@pytest.mark.parametrize("build", BOTH)
def test_an_absent_object_is_an_empty_mask(build) -> None:
    reference, label = square((60, 60), slice(10, 40), slice(10, 40))
    method = build(MODELS)
    method.fit(reference, label)
    answer = method.predict(np.full((50, 70, 3), [0, 255, 255], dtype=np.uint8))  # the opposite of red
    assert not answer.mask.any() and answer.mask.shape == (50, 70)
    assert answer.confidence < GpoaConfig().threshold.presence


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 60), st.integers(3, 60), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(BOTH))
def test_any_image_runs_and_nothing_is_random(height: int, width: int, seed: int, grey: bool, build) -> None:
    rng = np.random.default_rng(seed)
    image = np.broadcast_to(
        rng.integers(0, 256, (height, width, 1 if grey else 3), dtype=np.uint8), (height, width, 3)
    ).copy()
    label = np.zeros((height, width), dtype=bool)
    label[height // 2, width // 2] = True
    masks = []
    for _ in range(2):
        method = build(MODELS, seed)
        method.fit(image, label)
        masks.append(method.predict(image).mask)
        constant = method.predict(np.full((width, height, 3), 90, dtype=np.uint8)).mask
    assert masks[0].shape == (height, width) and masks[0].dtype == bool
    assert constant.shape == (width, height)
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("build", BOTH)
def test_unusable_masks_and_a_missing_reference_are_refused(build) -> None:
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="call fit"):
        build(MODELS).predict(image)
    for label in (np.zeros((20, 30), bool), np.ones((20, 30), bool)):
        with pytest.raises(MaskError):
            build(MODELS).fit(image, label)
