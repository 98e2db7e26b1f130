"""SAM with random weights behind an image encoder that answers with one fixed embedding."""

from __future__ import annotations

import functools

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from gpoa.segmenters.segmenter import Decoder, PromptableSegmenter
from gpoa.types import ImageEmbedding, Size


class FixedEncoder(torch.nn.Module):
    """Stands in for the image encoder."""

    img_size = 1024

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("features", torch.randn(1, 256, 64, 64))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.features


@functools.cache
def random_sam() -> Sam:
    """The same modules as the real decoder has, never trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Sam(
            image_encoder=FixedEncoder(),
            prompt_encoder=PromptEncoder(256, (64, 64), (1024, 1024), 16),
            mask_decoder=MaskDecoder(
                transformer_dim=256,
                transformer=TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048),
                num_multimask_outputs=3,
                iou_head_depth=3,
                iou_head_hidden_dim=256,
            ),
        ).eval()


class _DecoderOnly:
    """A backend whose decoder is at hand, and which has no encoder."""

    encoder_bytes, reduces_decoder = None, True

    def __init__(self, decoder: Decoder) -> None:
        self.made = decoder

    def load(self, device: str, encoder_dtype: str) -> None: ...

    def decoder(self, model: None, device: str, dtype: str) -> Decoder:
        return self.made


def segmenter_of(decoder: Decoder) -> PromptableSegmenter:
    return PromptableSegmenter(_DecoderOnly(decoder), "id")


def embedding_of(original_size: Size, input_size: Size) -> ImageEmbedding:
    return ImageEmbedding(random_sam().image_encoder.features, input_size, original_size)
