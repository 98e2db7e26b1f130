from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.baselines.gpoa_release import GpoaInitial, GpoaRelease, capped
from gpoa.config import GpoaConfig
from gpoa.errors import DataError, MaskError
from gpoa.types import PointPrompts
from tests.fake_backbones import FakeBackbones

MODELS = FakeBackbones(GpoaConfig())
BOTH = (GpoaInitial, GpoaRelease)


def scene(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(image, mask): a noisy red box in the middle of noisy green."""
    rng = np.random.default_rng(seed)
    height, width = size
    mask = np.zeros(size, dtype=bool)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    colour = np.where(mask[..., None], [200, 60, 60], [60, 170, 60])
    return (colour + rng.integers(-50, 50, (height, width, 3))).astype(np.uint8), mask


def points(positives: int, negatives: int) -> PointPrompts:
    count = positives + negatives
    xy = np.stack([np.arange(count), np.arange(count)], axis=1).astype(np.float32)
    return PointPrompts(xy, np.repeat([1, 0], [positives, negatives]))


def labelled(prompts: PointPrompts) -> set[tuple[float, float, int]]:
    return {
        (x, y, int(label)) for (x, y), label in zip(prompts.point_coords.tolist(), prompts.point_labels, strict=True)
    }


def test_initial_points_are_all_matches_and_lie_on_their_side() -> None:
    reference, label = scene((64, 96), 0)
    target, mask = scene((96, 64), 1)
    method = GpoaInitial(MODELS)
    method.fit(reference, label)
    answer = method.predict(target)
    column, row = np.round(answer.prompts.point_coords).astype(int).T
    np.testing.assert_array_equal(mask[row, column], answer.prompts.point_labels == 1)
    assert (answer.prompts.point_labels == 1).sum() > 20 and (answer.prompts.point_labels == 0).sum() > 20
    assert answer.mask.shape == (96, 64) and answer.mask[48, 32]
    assert answer.confidence == pytest.approx(0.8) and answer.start is None


def test_release_keeps_5_to_20_a_label_and_starts_from_all() -> None:
    reference, label = scene((64, 96), 0)
    target, _ = scene((96, 64), 1)
    counts = set()
    for seed in range(20):
        initial, release = GpoaInitial(MODELS, seed), GpoaRelease(MODELS, seed)
        initial.fit(reference, label)
        release.fit(reference, label)
        everything, answer = initial.predict(target), release.predict(target)
        np.testing.assert_array_equal(answer.start, everything.mask)
        drawn = labelled(answer.prompts)
        assert drawn <= labelled(everything.prompts) and len(drawn) == len(answer.prompts.point_labels)
        counts.add(tuple(int((answer.prompts.point_labels == one).sum()) for one in (1, 0)))
    assert all(5 <= count <= 20 for pair in counts for count in pair)
    assert len(counts) > 10


def test_the_draw_depends_on_the_seed_only() -> None:
    reference, label = scene((64, 96), 0)
    first, second = scene((96, 64), 1)[0], scene((60, 60), 2)[0]

    def run(seed: int, order: list[np.ndarray]) -> dict[tuple, np.ndarray]:
        method = GpoaRelease(MODELS, seed)
        method.fit(reference, label)
        return {image.shape: method.predict(image).prompts.point_coords for image in order}

    one, other = run(3, [first, second]), run(3, [second, first, second])
    for shape in one:
        np.testing.assert_array_equal(one[shape], other[shape])
    assert any(not np.array_equal(one[first.shape], run(seed, [first])[first.shape]) for seed in range(4, 8))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_cap(positives: int, negatives: int, seed: int) -> None:
    drawn = capped(points(positives, negatives), np.random.default_rng(seed))
    for label, count in ((1, positives), (0, negatives)):
        assert min(5, count) <= (drawn.point_labels == label).sum() <= min(20, count)
    assert (np.diff(drawn.point_coords[:, 0]) > 0).all()  # no repetition, old order


def test_without_a_positive_match_the_mask_is_empty() -> None:
    reference, label = scene((64, 96), 0)
    # On a constant image every reference patch leads to the same patch, which is then dropped.
    constant = np.full((50, 70, 3), 90, dtype=np.uint8)
    for build in BOTH:
        method = build(MODELS)
        method.fit(reference, label)
        answer = method.predict(constant)
        assert answer.mask.shape == (50, 70) and not answer.mask.any()
        assert answer.confidence == 0 and len(answer.prompts.point_labels) == 0


@pytest.mark.parametrize("build", BOTH)
@pytest.mark.parametrize("grey", [True, False])
def test_a_tiny_object_gives_one_point(build, grey: bool) -> None:
    image = np.full((33, 80, 3), 40, dtype=np.uint8)
    image += np.random.default_rng(0).integers(0, 40, image.shape[:2] + (1 if grey else 3,), dtype=np.uint8)
    image[4, 70] = 255 if grey else (255, 0, 0)
    label = np.zeros((33, 80), dtype=bool)
    label[4, 70] = True
    method = build(MODELS)
    method.fit(image, label)
    prompts = method.predict(image).prompts
    if grey:  # all grey tokens of the stand-in point the same way; only that it runs can be asked
        assert (prompts.point_labels == 1).sum() <= 1
    else:
        # Of 16 x 16 patches, 33 / 16 by 5 pixels each, pixel (4, 70) lies mostly in row 2, and in column 14.
        np.testing.assert_allclose(prompts.point_coords[prompts.point_labels == 1], [[72, 4.656]], atol=1e-3)


@pytest.mark.parametrize("build", BOTH)
def test_unusable_masks_and_a_missing_reference_are_refused(build) -> None:
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="call fit"):
        build(MODELS).predict(image)
    for label in (np.zeros((20, 30), bool), np.ones((20, 30), bool)):
        with pytest.raises(MaskError):
            build(MODELS).fit(image, label)
