"""What every feature model offers to the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
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


def extract_many(extractor: FeatureExtractor, images: Sequence[np.ndarray]) -> list[PatchFeatures]:
    """Computes the patch tokens of images, in common calls where the extractor has them (`extract_many`).

    Args:
        extractor: any.
        images: each [H, W, 3] uint8 RGB, of any sizes.

    Returns:
        One set of features an image.
    """
    together = getattr(extractor, "extract_many", None)
    if together is not None and len(images) > 1:
        return together(images)
    return [extractor.extract(image) for image in images]
