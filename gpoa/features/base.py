"""What every feature model offers to the pipeline."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gpoa.types import PatchFeatures


class FeatureExtractor(Protocol):
    """A frozen model that turns an image into patch tokens.

    Attributes:
        model_id: names the weights and every setting that shapes the tokens; used as a cache key.
        patch_size: side of a patch in model-input pixels.
    """

    model_id: str
    patch_size: int

    def extract(self, image: np.ndarray) -> PatchFeatures:
        """Computes the patch tokens of one image.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            The features, tokens rounded to float16 (so that a cached copy is bit-equal).
        """
        ...
