"""The official SAM checkpoints (vit_b, vit_l, vit_h) through `segment_anything`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.models.sam_modules import import_part
from gpoa.runtime.memory import Batches
from gpoa.runtime.precision import keep_norms
from gpoa.segmenters.base import ENCODER_BYTES, encode_in_batches
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.lora import apply_lora, find_adapter, load_lora
from gpoa.segmenters.sam_decoder import DecoderType, SamDecoder
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts


class Sam:
    """SAM from an official `.pth` file.

    Args:
        checkpoint: the `.pth` file.
        architecture: a key of `segment_anything.sam_model_registry`: vit_b, vit_l or vit_h.
        weights_id: names the weights.
        device: torch device.
        dtype: of the decoder's large products, see `SamDecoder`.

    Attributes:
        encoder_dtype: of the encoder, see `gpoa.runtime.precision`; set it before the first image.
    """

    def __init__(
        self, checkpoint: Path, architecture: str, weights_id: str, device: str = "cpu", dtype: DecoderType = "float32"
    ) -> None:
        self.checkpoint, self.architecture = Path(checkpoint), architecture
        self.model_id, self.device, self.dtype = weights_id, device, dtype
        self.encoder_dtype, self.batches = "float32", Batches(device, ENCODER_BYTES)
        self._model = None
        self._decoder: SamDecoder | None = None

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Runs the image encoder.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            The embedding, rounded to float16 (so that a cached copy is bit-equal).
        """
        return self.encode_many([image])[0]

    def encode_many(self, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
        """Runs the image encoder on images of any sizes, on CUDA as many together as its memory holds; see `encode`.

        Raises:
            ModelError: the GPU's memory does not hold one image.
        """
        encoder = self._sam().image_encoder
        return encode_in_batches(
            images, lambda pixels: {"features": encoder(pixels)}, self.batches, self.encoder_dtype
        )

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image; see `SamDecoder.decode`."""
        return self.decoder.decode(embedding, prompts, multimask_output, all_outputs)

    def decode_many(
        self,
        embeddings: Sequence[ImageEmbedding],
        prompts: Sequence[Sequence[PointPrompts]],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> list[MaskPrediction]:
        """Answers prompt sets on many images; see `SamDecoder.decode_many`."""
        return self.decoder.decode_many(embeddings, prompts, multimask_output, all_outputs)

    @property
    def decoder(self) -> SamDecoder:
        """The decoder, made once.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        if self._decoder is None:
            model = self._sam()
            self._decoder = SamDecoder(model.prompt_encoder, model.mask_decoder, self.device, self.dtype)
        return self._decoder

    def _sam(self):
        """The torch model, loaded once, never executing code from the file."""
        if self._model is None:
            import torch

            try:
                state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
                model = import_part("build_sam").sam_model_registry[self.architecture]()
                model.load_state_dict(state)
            except Exception as error:  # torch raises many kinds for a damaged or foreign file
                raise ModelError(
                    f"{self.checkpoint}: not a SAM {self.architecture} checkpoint ({one_line(error)}); "
                    f"fetch it again with `gpoa models fetch`"
                ) from error
            adapter = find_adapter(self.checkpoint.parent)
            if adapter is not None:
                apply_lora(model.image_encoder, load_lora(adapter))
            keep_norms(fast_attention(model.image_encoder), self.encoder_dtype)
            self._model = model.eval().to(self.device)
        return self._model
