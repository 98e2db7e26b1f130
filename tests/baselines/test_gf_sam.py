from __future__ import annotations

import numpy as np
import pytest

from gpoa.baselines.gf_sam import (
    GfSam,
    SimilarityMaps,
    cluster_points,
    overshoot_gate,
    polarity,
    positive_gate,
    select_points,
    similarity_maps,
)
from gpoa.errors import MaskError
from gpoa.matching.reference import Reference
from tests.baselines.fakes import BLUE, GREEN, RED, FakeModels, coloured, iou, picture


@pytest.fixture
def fitted() -> GfSam:
    method = GfSam(FakeModels())
    reference = picture((64, 64), (0, 0, 32, RED))
    method.fit(reference, coloured(reference, RED))
    return method


@pytest.mark.parametrize(
    ("size", "squares"),
    [
        ((96, 64), [(48, 16, 32)]),
        ((64, 128), [(16, 80, 32)]),
        ((128, 128), [(96, 24, 8)]),  # a single patch
        ((128, 128), [(0, 0, 32), (64, 96, 32)]),  # two instances
    ],
)
def test_finds_the_red_squares(fitted: GfSam, size: tuple[int, int], squares: list[tuple[int, int, int]]) -> None:
    target = picture(size, *[(*square, RED) for square in squares])
    assert iou(fitted.predict(target).mask, coloured(target, RED)) > 0.85


def test_another_colour_is_left_out(fitted: GfSam) -> None:
    target = picture((64, 64), (0, 0, 32, RED), (32, 32, 32, BLUE))
    assert iou(fitted.predict(target).mask, coloured(target, RED)) > 0.85


def test_flat_image_gives_an_empty_mask_and_no_call(fitted: GfSam) -> None:
    answer = fitted.predict(picture((64, 96)))
    assert not answer.mask.any()
    assert (answer.mask.shape, fitted.models.segmenter.calls) == ((64, 96), [])


def test_one_call_a_point_up_to_the_limit() -> None:
    method = GfSam(FakeModels(), max_points=3)
    image = picture((64, 64), (0, 0, 32, RED), (32, 32, 32, GREEN))
    method.fit(image, coloured(image, RED))
    method.predict(image)
    assert [len(prompt.point_labels) for prompt in method.models.segmenter.calls] == [1, 1, 1]


def test_similarity_maps_by_hand() -> None:
    tokens = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    reference = Reference(np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32), np.array([1.0, 1.0, 0.0]))
    maps = similarity_maps(reference, tokens)
    np.testing.assert_allclose(maps.foreground_mean, [0.8, 0.4, 0])  # negative similarities count as 0
    np.testing.assert_allclose(maps.foreground_max, [1, 0.8, 0])
    np.testing.assert_allclose(maps.background_mean, [0, 1, 0])


def test_select_points_by_hand() -> None:
    # mean x max, scaled: 1, .5, .9, .2, 0; background, scaled: 0, 1, 0, .1, 1: candidates of values 1, .9, .2; sum 2.1
    mean = np.array([1.0, 0.5, 0.9, 0.2, 0.0])
    maps = SimilarityMaps(mean, np.ones(5), np.array([0.0, 1.0, 0.0, 0.1, 1.0]))
    assert select_points(maps).tolist() == [0, 2]
    assert select_points(maps, limit=1).tolist() == [0]


def test_a_limit_spreads_the_points_over_the_ranking() -> None:
    maps = SimilarityMaps(np.array([0.0, 0.9, 0.92, 0.94, 0.96, 1.0]), np.ones(6), np.array([1.0, 0, 0, 0, 0, 0]))
    assert select_points(maps).tolist() == [5, 4, 3, 2]  # the sum is 4.72
    assert select_points(maps, limit=2).tolist() == [5, 3]


def test_a_single_weak_candidate_is_still_a_point() -> None:
    maps = SimilarityMaps(np.array([1.0, 0.4, 0.0]), np.ones(3), np.array([1.0, 0.2, 0.0]))
    assert select_points(maps).tolist() == [1]  # its value .4 rounds down to no point at all


def test_polarity_by_hand() -> None:
    maps = SimilarityMaps(np.array([0.8, 0.4, 0.2]), np.ones(3), np.array([0.6, 0.6, 0.01]))
    # the middle is .5: .64 > .3, .16 < .3, .04 > .005
    assert polarity(maps).tolist() == [True, False, True]


def test_clusters_are_weakly_connected() -> None:
    covers = np.eye(4, dtype=bool)
    covers[0, 1] = covers[2, 1] = True  # two masks cover point 1; neither covers the other's point
    clusters = cluster_points(covers)
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3]


def test_positive_gate_removes_a_mask_that_covers_everything() -> None:
    positive = np.zeros((4, 4), dtype=bool)
    positive[:2, :2] = True
    masks = np.stack([positive, np.ones((4, 4), dtype=bool)])
    assert positive_gate(masks, positive, np.array([0, 0])).tolist() == [True, False]
    assert positive_gate(masks[1:], positive, np.array([0])).tolist() == [False]  # also where it is alone


def test_positive_gate_judges_only_the_new_part() -> None:
    positive = np.zeros((1, 8), dtype=bool)
    positive[0, :4] = True
    pure, wide = np.zeros((2, 1, 8), dtype=bool)
    pure[0, :4], wide[0, :7] = True, True  # wide is positive on the whole (4 of 7), but all it adds is not
    assert positive_gate(np.stack([wide, pure]), positive, np.array([0, 0])).tolist() == [False, True]
    assert positive_gate(np.stack([wide, pure]), positive, np.array([0, 1])).tolist() == [True, True]  # clusters apart


def test_overshoot_gate_removes_a_point_that_resembles_the_neighbour_more() -> None:
    # Patches 0, 1 are the object; patch 2 looks like it, but its mask covers patches 2 to 5, which do not.
    tokens = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], dtype=float)
    inside = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]], dtype=float)
    points, clusters = np.array([0, 1, 2]), np.array([0, 0, 1])
    cells = np.stack([np.zeros(3), points], axis=1)
    similarity = tokens[points] @ tokens.T
    assert overshoot_gate(similarity, inside, cells, clusters).tolist() == [True, True, False]
    far = np.stack([np.zeros(3), np.array([0, 1, 6])], axis=1)  # 5 patches away the likeness of 1 counts .2, below .25
    assert overshoot_gate(similarity, inside, far, clusters).tolist() == [True, True, True]


@pytest.mark.parametrize(("value", "match"), [(False, "empty"), (True, "covers every patch")])
def test_useless_reference_is_refused(value: bool, match: str) -> None:
    with pytest.raises(MaskError, match=match):
        GfSam(FakeModels()).fit(picture((64, 64)), np.full((64, 64), value))
