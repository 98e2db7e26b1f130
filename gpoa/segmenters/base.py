"""What every segmenter offers: an expensive `encode` once an image, a cheap `decode` as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gpoa.runtime.memory import Batches, upload
from gpoa.runtime.precision import reduced
from gpoa.segmenters.preprocess import preprocess
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts, Size

if TYPE_CHECKING:
    import torch

ENCODER_BYTES = 640 << 20
"""What a ViT of SAM needs for one image on CUDA. Reasoned from its largest tensors, not measured; where it is too
little, `gpoa.runtime.memory.Batches` halves the batch."""


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


def encode_in_batches(
    images: Sequence[np.ndarray],
    forward: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    batches: Batches,
    dtype: str = "float32",
) -> list[ImageEmbedding]:
    """Embeds images by an encoder that sees SAM's padded square, as many together as the device's memory holds.

    Args:
        images: each [H, W, 3] uint8 RGB, of any sizes.
        forward: [B, 3, 1024, 1024] float32 on the device -> `features` [B, 256, 64, 64] and what else a decoder needs.
        batches: of the device.
        dtype: of the encoder, see `gpoa.runtime.precision`.

    Returns:
        One embedding an image, rounded to float16 (so that a cached copy is bit-equal).

    Raises:
        ModelError: the device's memory does not hold one image.
    """
    return batches.run(images, lambda part: _encode_batch(part, forward, batches.device, dtype))


def _encode_batch(
    images: Sequence[np.ndarray], forward: Callable[[torch.Tensor], dict[str, torch.Tensor]], device: str, dtype: str
) -> list[ImageEmbedding]:
    """One encoder call."""
    import torch

    inputs = [preprocess(image) for image in images]
    with torch.inference_mode(), reduced(device, dtype):
        made = forward(upload(np.concatenate([pixels for pixels, _ in inputs]), device))
    made = {name: value.half().cpu().float() for name, value in made.items()}
    features = made.pop("features")
    return [
        ImageEmbedding(
            features=features[i : i + 1],
            input_size=inputs[i][1],
            original_size=(image.shape[0], image.shape[1]),
            extras={name: value[i : i + 1] for name, value in made.items()},
        )
        for i, image in enumerate(images)
    ]


def decode_many(
    segmenter: Segmenter,
    embeddings: Sequence[ImageEmbedding],
    prompts: Sequence[Sequence[PointPrompts]],
    multimask_output: bool = False,
    all_outputs: bool = False,
) -> list[MaskPrediction]:
    """Answers prompt sets on many images, in common calls where the segmenter has them (`SamDecoder.decode_many`).

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
