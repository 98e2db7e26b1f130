from __future__ import annotations

import numpy as np
import pytest

from gpoa.baselines.insid3 import Insid3, choose, cluster, unit
from gpoa.config import GpoaConfig
from gpoa.errors import DataError, MaskError
from gpoa.types import PatchFeatures
from tests.fake_backbones import FakeBackbones

SIDE = 8
NOISE_WIDTH = 448


class SyntheticModels:
    """Tokens of known make: four dimensions of position, four of content.

    The first channel of a pixel names its content (0, 1 or 2), one patch a pixel; a noise image has no content.
    """

    segmenter = None

    def features(self, image: np.ndarray, key: str | None = None) -> PatchFeatures:
        """Position and content of equal weight."""
        row, column = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) - 0.5
        position = unit(np.stack([row, column, row * column, np.full_like(row, 0.3)], axis=-1).reshape(-1, 4))
        content = np.zeros((SIDE * SIDE, 4))
        if image.shape[1] != NOISE_WIDTH:
            content = np.eye(4)[image[..., 0].reshape(-1)]
        tokens = unit(np.concatenate([position, content], axis=1)).astype(np.float32)
        return PatchFeatures(tokens, (SIDE, SIDE), 14, (SIDE * 14, SIDE * 14), image.shape[:2])

    def embedding(self, image: np.ndarray, key: str | None = None):
        """Never asked for."""
        raise AssertionError("INSID3 needs no SAM")


def picture(*boxes: tuple[int, slice, slice]) -> np.ndarray:
    """[8, 8, 3] of content 0 with boxes of other content."""
    image = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    for content, rows, columns in boxes:
        image[rows, columns] = content
    return image


REFERENCE = picture((1, slice(0, 3), slice(0, 3)), (2, slice(5, 8), slice(5, 8)))


def fitted(seed: int = 0) -> Insid3:
    method = Insid3(SyntheticModels(), seed)
    method.fit(REFERENCE, REFERENCE[..., 0] == 1)
    return method


def test_position_is_what_is_projected_out() -> None:
    directions = Insid3(SyntheticModels()).directions
    assert directions.shape == (4, 8)  # 500 of 1024 of 8
    np.testing.assert_allclose(directions @ directions.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(directions[:, 4:], 0, atol=1e-5)


def test_the_right_cluster_is_picked_although_another_one_has_the_reference_s_place() -> None:
    # The wanted content stands where the reference had the other one, and the other way round.
    target = picture((2, slice(0, 3), slice(0, 3)), (1, slice(4, 7), slice(5, 8)))
    answer = fitted().predict(target)
    np.testing.assert_array_equal(answer.mask, target[..., 0] == 1)
    assert answer.confidence > 0.9
    assert answer.prompts is None and answer.start is None


def test_two_objects_of_the_kind_are_both_found() -> None:
    target = picture((1, slice(0, 2), slice(0, 3)), (1, slice(6, 8), slice(5, 8)))
    np.testing.assert_array_equal(fitted().predict(target).mask, target[..., 0] == 1)


def test_without_the_object_the_mask_is_empty() -> None:
    target = picture((2, slice(3, 6), slice(3, 6)))
    answer = fitted().predict(target)
    assert not answer.mask.any() and answer.confidence == 0


def test_clusters_are_cut_at_a_cosine_distance() -> None:
    # Angles of 0, 60 (cosine distance 0.5, merged) and 180 degrees (average distances 2 and 1.5, not merged).
    angle = np.deg2rad([0, 60, 180])
    labels = cluster(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    assert labels[0] == labels[1] != labels[2]
    assert sorted(set(labels)) == [0, 1]
    angle = np.deg2rad([0, 70])  # cosine distance 0.66
    assert len(set(cluster(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)))) == 2


def tokens_at(*degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_seed_and_joining_by_hand() -> None:
    clusters = np.array([0, 0, 1, 1, 2, 2, 3])
    tokens = tokens_at(0, 0, 60, 60, 60, 60, 0)
    similarity = np.array([0.8, 0.6, 0.5, 0.5, 0.5, 0.5, 0.9])
    candidates = np.array([True, False, True, True, True, False, False])
    # Cluster 3 is the most similar but has no candidate, so the seed is 0 (mean 0.7), though half covered.
    # Cluster 1: 0.5 * cos 60 * 1 = 0.25 joins; cluster 2: the same, half covered, 0.125 does not.
    choice = choose(tokens, similarity, candidates, clusters)
    np.testing.assert_array_equal(choice.patches, [True, True, True, True, False, False, False])
    assert choice.similarity == pytest.approx(0.7)


def test_the_seed_stays_however_low_its_score() -> None:
    choice = choose(tokens_at(0, 90), np.array([0.05, -0.5]), np.array([True, True]), np.array([0, 1]))
    np.testing.assert_array_equal(choice.patches, [True, False])


def test_no_candidate_no_mask() -> None:
    choice = choose(tokens_at(0, 90), np.array([0.9, 0.9]), np.array([False, False]), np.array([0, 1]))
    assert not choice.patches.any() and choice.similarity == 0


@pytest.mark.parametrize("size", [(33, 80), (90, 21), (3, 3)])
@pytest.mark.parametrize("grey", [True, False])
def test_any_image_runs_and_nothing_but_the_seed_is_random(size: tuple[int, int], grey: bool) -> None:
    rng = np.random.default_rng(0)
    image = np.broadcast_to(rng.integers(0, 256, (*size, 1 if grey else 3), dtype=np.uint8), (*size, 3)).copy()
    label = np.zeros(size, dtype=bool)
    label[1, 1] = True
    masks = []
    for _ in range(2):
        method = Insid3(FakeBackbones(GpoaConfig()), 5)
        method.fit(image, label)
        masks.append(method.predict(image).mask)
        assert method.predict(np.full((40, 50, 3), 90, dtype=np.uint8)).mask.shape == (40, 50)
    assert masks[0].shape == size and masks[0].dtype == bool
    np.testing.assert_array_equal(*masks)


def test_unusable_masks_and_a_missing_reference_are_refused() -> None:
    with pytest.raises(DataError, match="call fit"):
        Insid3(SyntheticModels()).predict(REFERENCE)
    for label in (np.zeros((8, 8), bool), np.ones((8, 8), bool)):
        with pytest.raises(MaskError):
            Insid3(SyntheticModels()).fit(REFERENCE, label)
