"""Features in tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.features.debias import noise_basis
from gpoa.features.hf_vit import HfVit
from gpoa.features.tiled import TiledExtractor
from gpoa.features.vit_kinds import BICUBIC, BILINEAR, stretch
from gpoa.types import PatchFeatures
from tests.segmenters.tiny_models import SIZES, picture

TinyVit = Callable[[str], Path]


class _Colours:
    """The mean colour of each 14-pixel patch of an 28-pixel square, and the place in it."""

    model_id, patch_size = "colours@28", 14

    def __init__(self) -> None:
        self.calls = 0

    def extract(self, image: np.ndarray) -> PatchFeatures:
        self.calls += 1
        assert image.shape == (28, 28, 3)
        means = image.reshape(2, 14, 2, 14, 3).mean(axis=(1, 3)).reshape(4, 3)
        return PatchFeatures(np.c_[means, np.arange(4)].astype(np.float32), (2, 2), 14, (28, 28), (28, 28))


def _numbered(rows: int, columns: int) -> np.ndarray:
    """An image of 14-pixel squares, each with its row in red and its column in green."""
    blocks = np.zeros((rows, columns, 3), np.uint8)
    blocks[..., 0], blocks[..., 1] = np.arange(rows)[:, None], np.arange(columns)
    return blocks.repeat(14, axis=0).repeat(14, axis=1)


@given(st.integers(1, 5))
def test_the_grid_is_in_row_major_order(tiles: int) -> None:
    inner = _Colours()
    made = TiledExtractor(inner, 28, tiles).extract(_numbered(2 * tiles, 2 * tiles))
    side = 2 * tiles
    assert (made.grid_size, made.input_size, made.original_size) == ((side, side), (14 * side,) * 2, (14 * side,) * 2)
    assert inner.calls == tiles**2  # the cost
    rows, columns = np.mgrid[:side, :side].reshape(2, -1)
    np.testing.assert_array_equal(made.tokens[:, 0], rows)
    np.testing.assert_array_equal(made.tokens[:, 1], columns)
    np.testing.assert_array_equal(made.tokens[:, 3], rows % 2 * 2 + columns % 2)  # the place in its tile


def test_an_image_that_is_not_square() -> None:
    made = TiledExtractor(_Colours(), 28, 2).extract(_numbered(2, 8))
    assert (made.grid_size, made.original_size) == ((4, 4), (28, 112))
    red = made.tokens[:, 0].reshape(4, 4)
    np.testing.assert_allclose(red, red[:, :1].repeat(4, axis=1))  # columns were merged, rows stretched
    assert (np.diff(red[:, 0]) >= 0).all() and red[0, 0] == 0 and red[3, 0] == 1


def test_model_id() -> None:
    assert [TiledExtractor(_Colours(), 28, tiles).model_id for tiles in (1, 2, 3)] == [
        "colours@28",  # the same tokens under the same name
        "colours@28x2",
        "colours@28x3",
    ]


@pytest.mark.parametrize("kind", ["dinov2", "vit"])  # bicubic, bilinear
def test_one_tile_is_bit_equal_to_none(tiny_vit: TinyVit, kind: str) -> None:
    inner = HfVit(tiny_vit(kind), "id", 56, (2, 3))
    tiled = TiledExtractor(inner, 56, 1, inner.pixels.resampling)
    whole, made = inner.extract(picture(SIZES[1])), tiled.extract(picture(SIZES[1]))
    np.testing.assert_array_equal(made.tokens, whole.tokens)
    assert (made.grid_size, made.input_size, made.original_size, made.patch_size) == (
        whole.grid_size,
        whole.input_size,
        whole.original_size,
        whole.patch_size,
    )


def test_a_tile_is_what_the_model_makes_of_that_part(tiny_vit: TinyVit) -> None:
    inner = HfVit(tiny_vit("dinov2"), "id", 56, (3,))
    image = picture(SIZES[0])
    made = TiledExtractor(inner, 56, 2).extract(image).tokens.reshape(8, 8, -1)
    square = stretch(image, 112, BICUBIC)
    lower_left = inner.extract(square[56:, :56]).tokens.reshape(4, 4, -1)
    np.testing.assert_array_equal(made[4:, :4], lower_left)


def test_equal_tiles_have_equal_tokens(tiny_vit: TinyVit) -> None:
    inner = HfVit(tiny_vit("dinov3_vit"), "id", 64, (3,))
    image = np.tile(stretch(picture(SIZES[0]), 64, BILINEAR), (2, 2, 1))
    grid = TiledExtractor(inner, 64, 2, BILINEAR).extract(image).tokens.reshape(2, 4, 2, 4, -1)
    for row, column in [(0, 1), (1, 0), (1, 1)]:
        np.testing.assert_array_equal(grid[row, :, column], grid[0, :, 0])


def test_position_directions(tiny_vit: TinyVit) -> None:
    """A tile has the positions of a whole image."""
    inner = HfVit(tiny_vit("dinov2"), "id", 56, (3,))
    np.testing.assert_array_equal(noise_basis(TiledExtractor(inner, 56, 2), size=40), noise_basis(inner, size=40))


def test_many_images_share_calls(tiny_vit: TinyVit) -> None:
    inner = HfVit(tiny_vit("dinov2"), "id", 56, (2, 3))
    tiled, images = TiledExtractor(inner, 56, 2), [picture(SIZES[0]), picture(SIZES[1])]
    alone = [tiled.extract(image) for image in images]
    inner.batches.on_cpu = 5
    for made, expected in zip(tiled.extract_many(images), alone, strict=True):
        np.testing.assert_allclose(made.tokens, expected.tokens, atol=5e-4)  # the rounding of the kept float16
        assert (made.grid_size, made.original_size) == (expected.grid_size, expected.original_size)
    assert tiled.batches.bytes_per_item == 4 * inner.batches.bytes_per_item
    assert TiledExtractor(_Colours(), 28, 2).batches is None
