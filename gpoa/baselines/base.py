"""What every method of the benchmark offers, ours among them: `fit` on one labelled image, `predict` on others.

All methods get the same frozen models, so that a difference between two of them is a difference of method. Each is
written from its paper's description; where a paper leaves a choice open, or the models differ from the paper's, the
module says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gpoa.segmenters.base import Segmenter, upscale_logits
from gpoa.types import ImageEmbedding, PatchFeatures, PointPrompts


class FrozenModels(Protocol):
    """The frozen models as a method sees them (`gpoa.pipeline.backbones.Backbones` is one).

    Attributes:
        segmenter: decodes prompt sets from an embedding.
    """

    segmenter: Segmenter

    def features(self, image: np.ndarray, key: str | None = None) -> PatchFeatures:
        """Patch tokens of an image [H, W, 3] uint8 RGB."""
        ...

    def embedding(self, image: np.ndarray, key: str | None = None) -> ImageEmbedding:
        """The segmenter's embedding of an image [H, W, 3] uint8 RGB."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Answer:
    """What a method says about one image.

    Args:
        mask: [H, W] bool at the image's original size; all False where the object is not found.
        confidence: in [0, 1], higher is surer; None where the method has no such thing.
        prompts: the prompt set behind the mask, or None where there is no single one.
        start: [H, W] bool, the mask before prompts were optimised; None where nothing is optimised.
    """

    mask: np.ndarray
    confidence: float | None = None
    prompts: PointPrompts | None = None
    start: np.ndarray | None = None


class Method(Protocol):
    """A one-shot segmentation method."""

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Learns the object from [H, W, 3] uint8 RGB and its mask [H, W] bool.

        Raises:
            MaskError: the mask is empty, or covers everything.
        """
        ...

    def predict(self, image: np.ndarray) -> Answer:
        """Segments another image [H, W, 3] uint8 RGB."""
        ...


def full_mask(low_res_logits: np.ndarray, embedding: ImageEmbedding) -> np.ndarray:
    """Turns the decoder's logits [256, 256] of one mask into [H, W] bool at the image's original size."""
    return upscale_logits(low_res_logits, embedding.input_size, embedding.original_size) > 0
