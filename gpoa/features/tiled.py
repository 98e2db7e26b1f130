"""Features of an image in tiles, for objects that are small in a large image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpoa.features.base import FeatureExtractor, extract_many
from gpoa.features.vit_kinds import BICUBIC, stretch
from gpoa.types import PatchFeatures


class TiledExtractor:
    """Runs another extractor on each of n x n tiles and joins their tokens to one grid.

    The image is stretched to a square of n * image_size pixels and cut into squares of image_size, so that every tile
    passes the model at the size that it is meant for, and no position embedding is stretched. Tiles do not overlap:
    every patch is encoded once, and the cost is n^2 encoder passes. A patch sees its tile, not the rest of the image.
    For images that have more pixels than image_size, where it has not been measured. On images of 200 to 480 pixels,
    which have not, n = 2 took the IoU over four classes of the benchmark from 0.49 to 0.39 (no agent): the view of the
    whole is lost, and no detail is won.

    Args:
        inner: computes the tokens of a tile.
        image_size: side of a tile, the input size of `inner`, in pixels.
        tiles: n; with 1 the tokens are those of `inner`.
        resampling: Pillow's number of the filter by which the image is stretched; the one of `inner`.
    """

    def __init__(self, inner: FeatureExtractor, image_size: int, tiles: int, resampling: int = BICUBIC) -> None:
        self.inner, self.image_size, self.tiles, self.resampling = inner, image_size, tiles, resampling
        self.patch_size = inner.patch_size
        self.model_id = inner.model_id if tiles == 1 else f"{inner.model_id}x{tiles}"
        batches = getattr(inner, "batches", None)
        self.batches = None if batches is None else batches.of_several(tiles**2)

    def extract(self, image: np.ndarray) -> PatchFeatures:
        """Computes the patch tokens of one image.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            Features with tokens [n * rows * n * columns, D] on one grid in row-major order.
        """
        return self.extract_many([image])[0]

    def extract_many(self, images: Sequence[np.ndarray]) -> list[PatchFeatures]:
        """Computes the patch tokens of images of any sizes, all tiles together where the other extractor can."""
        made = extract_many(self.inner, [tile for image in images for tile in self._cut(image)])
        count = self.tiles**2
        return [self._join(made[i * count : (i + 1) * count], image) for i, image in enumerate(images)]

    def _cut(self, image: np.ndarray) -> list[np.ndarray]:
        """The n^2 tiles in row-major order, each [image_size, image_size, 3]."""
        side = self.image_size
        square = stretch(image, side * self.tiles, self.resampling)
        starts = range(0, len(square), side)
        return [np.ascontiguousarray(square[top : top + side, left : left + side]) for top in starts for left in starts]

    def _join(self, tiles: Sequence[PatchFeatures], image: np.ndarray) -> PatchFeatures:
        """The features of an image from those of its tiles."""
        side, count = self.image_size, self.tiles
        parts = [made.tokens.reshape(*made.grid_size, -1) for made in tiles]  # [rows, columns, D]
        strips = [np.concatenate(parts[i : i + count], axis=1) for i in range(0, len(parts), count)]
        grid = np.concatenate(strips)  # [n * rows, n * columns, D]
        return PatchFeatures(
            tokens=grid.reshape(-1, grid.shape[-1]),
            grid_size=(grid.shape[0], grid.shape[1]),
            patch_size=self.patch_size,
            input_size=(side * self.tiles, side * self.tiles),
            original_size=(image.shape[0], image.shape[1]),
        )
