"""The segmenter's own image embedding as features: one encoder serves both, no second model is needed.

PerSAM (Zhang et al. 2023, arXiv:2305.03048) matches in this space.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpoa.features.hf_vit import check_image_size
from gpoa.types import PatchFeatures, Size

NAME = "segmenter"
"""What `--models.features` is for these features."""
PATCH_SIZE = 14
"""Nominal: the grid has image_size / 14 rows and columns, as DINOv2's has, so that results are comparable."""


class SegmenterTokens:
    """Patch tokens from a segmenter's embedding.

    An embedding holds 64 x 64 cells of the padded square; those inside the image are resampled to the grid. `layers`
    has no meaning here: SAM's neck gives one map. Measured on the 12 quick classes of the benchmark without an agent,
    with MobileSAM: IoU 0.36, with `--matching.debias-components 0` 0.38, where DINOv2 ViT-S has 0.54.

    Args:
        tokens_of: (image [H, W, 3] uint8, (rows, columns)) -> [rows * columns, D] float32, of unit length.
        segmenter_id: names the segmenter's weights.
        image_size: nominal side of the input; a multiple of 14.

    Raises:
        ConfigError: it is no such multiple.
    """

    patch_size = PATCH_SIZE

    def __init__(
        self, tokens_of: Callable[[np.ndarray, Size], np.ndarray], segmenter_id: str, image_size: int = 448
    ) -> None:
        check_image_size(image_size, PATCH_SIZE)
        self.tokens_of, self.image_size = tokens_of, image_size
        self.model_id = f"{segmenter_id}#tokens@{image_size}"

    def extract(self, image: np.ndarray) -> PatchFeatures:
        """Computes the patch tokens of one image.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            Features with tokens [P, D], each row of unit length and rounded to float16.
        """
        grid = (self.image_size // PATCH_SIZE,) * 2
        tokens = self.tokens_of(image, grid)
        return PatchFeatures(
            tokens=tokens.astype(np.float16).astype(np.float32),
            grid_size=grid,
            patch_size=PATCH_SIZE,
            input_size=(self.image_size, self.image_size),
            original_size=(image.shape[0], image.shape[1]),
        )
