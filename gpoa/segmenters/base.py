"""What every segmenter offers: an expensive `encode` once an image, a cheap `decode` as often as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts, Size


class Segmenter(Protocol):
    """A frozen promptable segmenter.

    Attributes:
        model_id: names the weights; used as a cache key.
    """

    model_id: str

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Runs the image encoder on [H, W, 3] uint8 RGB."""
        ...

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image, each with one mask, or three with `multimask_output`, or with
        `all_outputs` all four, the single one first."""
        ...


def encode_many(segmenter: Segmenter, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
    """Embeds images, in common calls where the segmenter has them (`encode_many`).

    Args:
        segmenter: any.
        images: each [H, W, 3] uint8 RGB, of any sizes.

    Returns:
        One embedding an image.
    """
    together = getattr(segmenter, "encode_many", None)
    if together is not None and len(images) > 1:
        return together(images)
    return [segmenter.encode(image) for image in images]


def decode_many(
    segmenter: Segmenter,
    embeddings: Sequence[ImageEmbedding],
    prompts: Sequence[Sequence[PointPrompts]],
    multimask_output: bool = False,
    all_outputs: bool = False,
) -> list[MaskPrediction]:
    """Answers prompt sets on many images, in common calls where the segmenter has them (`decode_many`).

    Args:
        segmenter: any.
        embeddings: one an image.
        prompts: the sets of each image.
        multimask_output, all_outputs: as in `Segmenter.decode`.

    Returns:
        One prediction an image.

    Raises:
        ValueError: there are not as many embeddings as lists of sets.
    """
    together = getattr(segmenter, "decode_many", None)
    if together is not None:
        return together(embeddings, prompts, multimask_output, all_outputs)
    pairs = zip(embeddings, prompts, strict=True)
    return [segmenter.decode(embedding, sets, multimask_output, all_outputs) for embedding, sets in pairs]


def upscale_logits(low_res_logits: np.ndarray, input_size: Size, original_size: Size) -> np.ndarray:
    """Brings one low-resolution mask to the original size, as `segment_anything`'s `postprocess_masks` does.

    Args:
        low_res_logits: [256, 256] float32 in SAM's padded frame.
        input_size: (H, W) of the image inside the 1024 square.
        original_size: (H, W).

    Returns:
        [H, W] float32 logits.
    """
    import torch
    from torch.nn.functional import interpolate

    from gpoa.geometry import SAM_SIDE

    logits = torch.from_numpy(np.ascontiguousarray(low_res_logits, dtype=np.float32))[None, None]
    square = interpolate(logits, (SAM_SIDE, SAM_SIDE), mode="bilinear", align_corners=False)
    inside = square[..., : input_size[0], : input_size[1]]
    return interpolate(inside, original_size, mode="bilinear", align_corners=False)[0, 0].numpy()
