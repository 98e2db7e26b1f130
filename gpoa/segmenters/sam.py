"""The official SAM checkpoints (vit_b, vit_l, vit_h) through `segment_anything`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpoa.errors import ModelError, one_line
from gpoa.models.sam_modules import import_part
from gpoa.runtime.precision import keep_norms
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.lora import merge_adapter
from gpoa.segmenters.sam_decoder import SamDecoder
from gpoa.segmenters.segmenter import VIT_BYTES, DecoderType, Encoder

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sam:
    """SAM from an official `.pth` file; a LoRA adapter beside it (`gpoa.segmenters.lora.find_adapter`) is merged.

    Args:
        checkpoint: the `.pth` file.
        architecture: a key of `segment_anything.sam_model_registry`: vit_b, vit_l or vit_h.
    """

    checkpoint: Path
    architecture: str
    encoder_bytes = VIT_BYTES
    reduces_decoder = True

    def load(self, device: str, encoder_dtype: str) -> torch.nn.Module:
        """The torch model, never executing code from the file.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
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
        merge_adapter(model.image_encoder, self.checkpoint.parent)
        keep_norms(fast_attention(model.image_encoder), encoder_dtype)
        return model.eval().to(device)

    def encoder(self, model: Any, device: str, dtype: str) -> Encoder:
        """The image encoder."""
        return Encoder(lambda pixels: {"features": model.image_encoder(pixels)}, device, dtype)

    def decoder(self, model: Any, device: str, dtype: DecoderType) -> SamDecoder:
        """The decoder."""
        return SamDecoder(model.prompt_encoder, model.mask_decoder, device, dtype)
