"""SAM-HQ (Ke et al. 2023, arXiv:2306.01567) through `transformers`, from its form or from an official `.pth` file.

SAM-HQ adds to SAM's decoder one token with features of an early layer of the image encoder; its mask is added to SAM's.

Legend: `B` prompt sets of one call, `M` masks a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.geometry import to_sam_points
from gpoa.models.hf_loading import import_transformers, quiet_loading, to_device
from gpoa.runtime.precision import keep_norms
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.hf_sam import group_of, load_transformers, prompt_tensors, to_transformers
from gpoa.segmenters.segmenter import VIT_BYTES, Encoder, Job

if TYPE_CHECKING:
    import torch

# Width of the image encoder -> (layers, heads, layers with global attention) of ViT-B, ViT-L and ViT-H.
_ENCODERS = {
    768: (12, 12, (2, 5, 8, 11)),
    1024: (24, 16, (5, 11, 17, 23)),
    1280: (32, 16, (7, 15, 23, 31)),
}


@dataclass(frozen=True)
class SamHq:
    """SAM-HQ from a folder with a transformers model, or with one official `.pth` file.

    Its embedding has `extras["early"]` [1, 64, 64, width], the encoder's state after its first layer with global
    attention.

    Args:
        folder: the model's folder.
    """

    folder: Path
    encoder_bytes = VIT_BYTES
    reduces_decoder = False

    def load(self, device: str, encoder_dtype: str) -> torch.nn.Module:
        """The torch model; see `load_transformers` and `load_official`."""
        checkpoint = next(iter(sorted(self.folder.glob("*.pth"))), None)
        if checkpoint is None:
            model = load_transformers("SamHQModel", ("sam_hq",), self.folder, device)
        else:
            model = to_device(load_official(checkpoint), device, checkpoint)
        keep_norms(fast_attention(model.vision_encoder), encoder_dtype)
        return model

    def encoder(self, model: Any, device: str, dtype: str) -> Encoder:
        """The image encoder."""

        def forward(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            made = model.vision_encoder(pixels)
            return {"features": made.last_hidden_state, "early": made.intermediate_embeddings[0]}

        return Encoder(forward, device, dtype)

    def decoder(self, model: Any, device: str, dtype: str) -> SamHqDecoder:
        """The decoder."""
        return SamHqDecoder(model, device)


class SamHqDecoder:
    """SAM-HQ's decoder.

    Mask 0 is the library's for `multimask_output=False`: SAM's single mask plus the high-quality one. Masks 1 to 3 are
    the library's for `multimask_output=True`: SAM's other three, each plus the high-quality one, best predicted IoU
    first. The predicted IoU are SAM's own.

    Args:
        model: transformers' `SamHQModel`.
        device: torch device.

    Attributes:
        batch_size: prompt sets a call.
    """

    def __init__(self, model: Any, device: str) -> None:
        self.model, self.device = model, device
        self.batch_size = 1 if device == "cpu" else 16
        self.group = group_of

    def call(self, batch: Sequence[Job], wanted: slice) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call, or two for all four masks; see `gpoa.segmenters.segmenter.Decoder`."""
        import torch

        embedding = batch[0].embedding
        maps = [
            tensor.to(self.device).expand(len(batch), -1, -1, -1)
            for tensor in (embedding.features, embedding.extras["early"])
        ]
        points = partial(to_sam_points, original_size=embedding.original_size)
        tensors = prompt_tensors(batch, self.device, points, partial(np.asarray, dtype=np.float32))
        answers, ways = [], [False] * (wanted.start == 0) + [True] * (wanted.stop == 4)
        with torch.inference_mode():
            for way in ways:
                made = self.model(
                    image_embeddings=maps[0], intermediate_embeddings=[maps[1]], multimask_output=way, **tensors
                )
                answers.append([value[:, 0].float().cpu().numpy() for value in (made.pred_masks, made.iou_scores)])
        masks, scores = (np.concatenate(parts, axis=1) for parts in zip(*answers, strict=True))
        return masks, scores


def load_official(checkpoint: Path) -> torch.nn.Module:
    """Builds transformers' SAM-HQ from an official `.pth` file, never executing code from the file.

    Args:
        checkpoint: of SAM-HQ ViT-B, ViT-L or ViT-H (not of its light form, whose encoder is another).

    Returns:
        The model in evaluation mode, every weight loaded.

    Raises:
        ModelError: the file is damaged or of another model.
    """
    import torch

    wrong = f"{checkpoint}: not a SAM-HQ checkpoint"
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        names = {to_transformers(name): value.float() for name, value in state.items()}
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise ModelError(f"{wrong} ({one_line(error)})") from error
    for name in ("pixel_mean", "pixel_std"):
        names.pop(name, None)
    shared = "prompt_encoder.shared_embedding.positional_embedding"
    if shared not in names or "mask_decoder.hq_token.weight" not in names:
        raise ModelError(
            f"{wrong} (it has no high-quality token); an official SAM is called sam_vit_b, sam_vit_l or sam_vit_h"
        )
    names["shared_image_embedding.positional_embedding"] = names[shared]
    try:
        with quiet_loading():
            model = _empty(names)
            model.load_state_dict(names)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"transformers has no SamHQModel ({one_line(error)}); run `pip install -U transformers`"
        ) from error
    except (RuntimeError, KeyError, ValueError) as error:
        raise ModelError(f"{wrong} ({one_line(error)})") from error
    return model.eval()


def _empty(names: dict[str, torch.Tensor]) -> torch.nn.Module:
    """A SamHQModel of the shape that the weights have."""
    library = import_transformers()
    width = names["vision_encoder.pos_embed"].shape[-1]
    layers = len({name.split(".")[2] for name in names if name.startswith("vision_encoder.layers.")})
    known, heads, everywhere = _ENCODERS.get(width, (None, None, ()))
    if layers != known:
        raise ValueError(f"an image encoder of {layers} layers of width {width} is none of ViT-B, ViT-L and ViT-H")
    vision = library.SamHQVisionConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, global_attn_indexes=list(everywhere)
    )
    decoder = library.SamHQMaskDecoderConfig(vit_dim=width)
    return library.SamHQModel(library.SamHQConfig(vision_config=vision, mask_decoder_config=decoder))
