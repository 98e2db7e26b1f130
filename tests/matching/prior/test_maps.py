"""Maps are relational: any width, any grid, mirrored images give mirrored maps."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.matching.prior.maps import COARSE_MAPS, FINE_MAPS, MIDDLE_MAPS, PriorReference
from gpoa.matching.prior.pixels import to_square
from gpoa.matching.reference import Reference
from gpoa.types import PatchFeatures

GRID = (8, 8)


def _tokens(image: np.ndarray, width: int, grid: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Unit tokens that tell the mean colour of each cell, in `width` random channels."""
    rows, columns = grid
    cells = (
        image.reshape(rows, image.shape[0] // rows, columns, image.shape[1] // columns, 3)
        .mean(axis=(1, 3))
        .reshape(-1, 3)
    )
    mixed = np.concatenate([cells / 255, np.ones((len(cells), 1))], axis=1) @ np.random.default_rng(seed).normal(
        size=(4, width)
    )
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def _scene() -> tuple[np.ndarray, np.ndarray]:
    """A red square on blue, [64, 64, 3], and its mask."""
    rng = np.random.default_rng(3)
    image = np.full((64, 64, 3), (20, 40, 160), dtype=np.uint8) + rng.integers(0, 20, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), dtype=bool)
    mask[8:40, 16:48] = True
    image[mask] = (200, 40, 30)
    return image, mask


def _features(image: np.ndarray, width: int) -> PatchFeatures:
    """What a feature model of that width gives."""
    return PatchFeatures(_tokens(image, width, GRID), GRID, 8, (64, 64), (64, 64))


def _reference(width: int, segmenter: bool = True) -> PriorReference:
    image, mask = _scene()
    shares = mask.reshape(8, 8, 8, 8).mean(axis=(1, 3)).reshape(-1).astype(np.float32)
    fine = np.kron(mask.astype(np.float32), np.ones((4, 4), dtype=np.float32))
    cells = Reference(_tokens(image, 16, (64, 64)), mask.astype(np.float32).reshape(-1)) if segmenter else None
    return PriorReference(Reference(_tokens(image, width, GRID), shares), 2, cells, [to_square(image)], [fine])


@pytest.mark.parametrize("width", [8, 20])
def test_shapes_and_ranges_for_any_width(width: int) -> None:
    image, _ = _scene()
    maps = _reference(width).maps(_features(image, width), _tokens(image, 16, (64, 64)), image)
    assert maps.coarse.shape == (len(COARSE_MAPS), 32, 32) and maps.middle.shape == (len(MIDDLE_MAPS), 64, 64)
    assert maps.fine.shape == (len(FINE_MAPS), 256, 256) and maps.rgb.shape == (3, 256, 256)
    assert all(np.isfinite(one).all() and np.abs(one).max() <= 6 for one in (maps.coarse, maps.middle, maps.fine))


def test_the_object_stands_out_in_every_scored_map() -> None:
    image, mask = _scene()
    maps = _reference(8).maps(_features(image, 8), _tokens(image, 16, (64, 64)), image)
    inside = mask.reshape(32, 2, 32, 2).mean(axis=(1, 3)) == 1
    for name in COARSE_MAPS[:9]:
        values = maps.coarse[COARSE_MAPS.index(name)]
        assert values[inside].mean() > values[~inside].mean() + 0.5, name
    assert maps.fine[:, np.kron(mask, np.ones((4, 4))) > 0].mean() > maps.fine.mean()


def test_without_the_segmenter_its_maps_are_zero() -> None:
    image, _ = _scene()
    maps = _reference(8, segmenter=False).maps(_features(image, 8), None, image)
    assert not maps.middle.any() and not maps.coarse[COARSE_MAPS.index("segmenter_ridge")].any()


def test_a_mirrored_target_gives_mirrored_maps() -> None:
    image, _ = _scene()
    reference = _reference(8)
    straight = reference.maps(_features(image, 8), _tokens(image, 16, (64, 64)), image)
    flipped = np.ascontiguousarray(image[:, ::-1])
    mirrored = reference.maps(_features(flipped, 8), _tokens(flipped, 16, (64, 64)), flipped)
    for name, level in (("coarse", 1e-3), ("middle", 1e-3), ("fine", 0.05)):
        assert np.abs(getattr(straight, name)[..., ::-1] - getattr(mirrored, name)).max() < level, name
