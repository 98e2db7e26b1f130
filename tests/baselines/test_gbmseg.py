from __future__ import annotations

import numpy as np
import pytest

from gpoa.baselines.gbmseg import GbmSeg, engineer_prompts, hard_negatives
from gpoa.errors import MaskError
from gpoa.matching.reference import Reference
from gpoa.types import PatchFeatures
from tests.baselines.fakes import BLUE, RED, FakeModels, coloured, iou, picture


def unit(degrees: list[float]) -> np.ndarray:
    """Unit vectors [N, 2] at angles."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def row(degrees: list[float]) -> PatchFeatures:
    """An image of one row of patches, 10 pixels each."""
    count = len(degrees)
    return PatchFeatures(unit(degrees), (1, count), 10, (10, 10 * count), (10, 10 * count))


@pytest.fixture
def fitted() -> GbmSeg:
    method = GbmSeg(FakeModels())
    reference = picture((64, 64), (0, 0, 32, RED))
    method.fit(reference, coloured(reference, RED))
    return method


@pytest.mark.parametrize(
    ("size", "square"),
    [((96, 64), (48, 16, 32)), ((64, 128), (16, 80, 32)), ((128, 128), (96, 24, 8))],  # the last one is a single patch
)
def test_finds_the_red_square(fitted: GbmSeg, size: tuple[int, int], square: tuple[int, int, int]) -> None:
    target = picture(size, (*square, RED), (0, 0, 16, BLUE))
    assert iou(fitted.predict(target).mask, coloured(target, RED)) > 0.85
    assert len(fitted.models.segmenter.calls) == 1


def test_absent_object_gives_an_empty_mask_and_no_call(fitted: GbmSeg) -> None:
    answer = fitted.predict(picture((64, 96)))
    assert not answer.mask.any()
    assert (answer.mask.shape, fitted.models.segmenter.calls) == ((64, 96), [])


# Reference: foreground at 0 degrees, background at 40 and 90 degrees.
REFERENCE = Reference(unit([0, 40, 90]), np.array([1.0, 0.0, 0.0], dtype=np.float32))


def test_one_way_match_is_dropped_and_becomes_hard() -> None:
    # The foreground's nearest patch is the one at 30 degrees, but that one is nearer to the background at 40.
    target = unit([30, 90])
    assert hard_negatives(REFERENCE, target).tolist() == [0]
    prompts = engineer_prompts(REFERENCE, row([30, 90]), radius=0.0)
    assert prompts.is_empty  # a negative alone segments nothing
    assert hard_negatives(REFERENCE, unit([5, 90])).tolist() == []


def test_two_way_matches_are_kept() -> None:
    prompts = engineer_prompts(REFERENCE, row([2, 45, 88]), radius=0.0)
    assert prompts.point_labels.tolist() == [1, 0, 0]
    assert prompts.point_coords.tolist() == [[4.5, 4.5], [14.5, 4.5], [24.5, 4.5]]


def test_exclusive_sampling_drops_the_negative_beside_a_positive() -> None:
    prompts = engineer_prompts(REFERENCE, row([2, 45, 88]), radius=0.5)  # 15 of 30 pixels; patches are 10 apart
    assert prompts.point_labels.tolist() == [1, 0]
    assert prompts.point_coords[1].tolist() == [24.5, 4.5]


def test_sparse_sampling_keeps_the_positive_farthest_from_the_negatives() -> None:
    # Two foreground patches reach patches 0 and 1, the background reaches patch 5.
    reference = Reference(unit([0, 10, 90]), np.array([1.0, 1.0, 0.0], dtype=np.float32))
    prompts = engineer_prompts(reference, row([0, 10, 200, 200, 200, 90]), radius=0.25)  # 15 pixels
    assert prompts.point_coords.tolist() == [[4.5, 4.5], [54.5, 4.5]]


def test_hard_negatives_stay_however_near() -> None:
    # The foreground at 0 and at 25 degrees reaches patches 0 and 1; patch 1 (at 33) leads back to the background at 40.
    reference = Reference(unit([0, 25, 40, 90]), np.array([1.0, 1.0, 0.0, 0.0], dtype=np.float32))
    target = row([0, 33, 90])
    assert hard_negatives(reference, target.tokens).tolist() == [1]
    with_hard = engineer_prompts(reference, target, radius=0.5)
    assert with_hard.point_coords[with_hard.point_labels == 0][:, 0].tolist() == [24.5, 14.5]
    without = engineer_prompts(reference, target, radius=0.5, hard=False)
    assert without.point_coords[without.point_labels == 0][:, 0].tolist() == [24.5]


@pytest.mark.parametrize(("value", "match"), [(False, "empty"), (True, "covers every patch")])
def test_useless_reference_is_refused(value: bool, match: str) -> None:
    with pytest.raises(MaskError, match=match):
        GbmSeg(FakeModels()).fit(picture((64, 64)), np.full((64, 64), value))
