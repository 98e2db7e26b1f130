"""SAM 2.1 (Ravi et al. 2024, arXiv:2408.00714) on single images, through `transformers`; SAM 3's tracker works alike.

The model stretches the image to a square; see `gpoa.segmenters.stretched` for the way to SAM's padded frame and back.

Legend: `B` prompt sets of one call, `M` masks a set, `L` side of the model's low-resolution masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpoa.errors import ModelError
from gpoa.models.hf_loading import import_transformers
from gpoa.runtime.precision import keep_norms
from gpoa.segmenters.hf_sam import group_of, load_transformers, prompt_tensors
from gpoa.segmenters.preprocess import PIXEL_MEAN, PIXEL_STD
from gpoa.segmenters.segmenter import Encoder, Job
from gpoa.segmenters.stretched import mask_to_stretched, masks_to_padded, stretch, to_stretched_points

if TYPE_CHECKING:
    import torch

_ENCODER_BYTES = 1536 << 20
"""What one image needs on CUDA: reasoned from the largest maps (a quarter of the side, 256 channels), not measured."""
_MAPS = ("high_resolution_0", "high_resolution_1", "image")
"""Names of the three feature maps in `ImageEmbedding.extras`, from fine to coarse."""


@dataclass(frozen=True)
class Family:
    """What tells SAM 2 from SAM 3.

    Args:
        class_name: of `transformers`.
        kinds: values of `model_type` that hold its weights (the published SAM 2.1 are filed as `sam2_video`).
        mean: [3] in grey levels.
        std: [3] in grey levels.
    """

    class_name: str
    kinds: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray


SAM2 = Family("Sam2Model", ("sam2", "sam2_video"), PIXEL_MEAN, PIXEL_STD)


@dataclass(frozen=True)
class Sam2:
    """SAM 2.1 from a folder with `config.json` and `model.safetensors`.

    Its embedding has the model's three maps in `extras`, and in `features` the coarse one in SAM's padded frame.

    Args:
        folder: the model's folder.
        family: SAM 2 or SAM 3.
    """

    folder: Path
    family: Family = SAM2
    encoder_bytes = _ENCODER_BYTES
    reduces_decoder = False

    def load(self, device: str, encoder_dtype: str) -> torch.nn.Module:
        """The torch model; see `load_transformers`."""
        model = load_transformers(self.family.class_name, self.family.kinds, self.folder, device)
        keep_norms(model.vision_encoder, encoder_dtype)
        return model

    def encoder(self, model: Any, device: str, dtype: str) -> Encoder:
        """The image encoder."""

        def forward(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            maps = model.get_image_embeddings(pixels)
            return {name: one.contiguous() for name, one in zip(_MAPS, maps, strict=True)}

        side = model.prompt_encoder.input_image_size
        frame = partial(stretch, side=side, mean=self.family.mean, std=self.family.std)
        return Encoder(forward, device, dtype, frame, stretched=_MAPS[-1])

    def decoder(self, model: Any, device: str, dtype: str) -> Sam2Decoder:
        """The decoder."""
        return Sam2Decoder(model, device)


class Sam2Decoder:
    """SAM 2's decoder.

    Mask 0 is what the model gives for `multimask_output=False`: its single mask, or, where that one is not stable, the
    best of the other three (the published configurations ask for this). Masks 1 to 3 are those of
    `multimask_output=True`.

    Args:
        model: transformers' model; its decoder is set to give all four masks.
        device: torch device.

    Attributes:
        batch_size: prompt sets a call.
    """

    def __init__(self, model: Any, device: str) -> None:
        self.model, self.device = model, device
        # As for SAM: on a CPU larger batches are slower a set.
        self.batch_size = 1 if device == "cpu" else 32
        self.group = group_of
        decoder = model.mask_decoder
        # The library cuts the four masks down to one by this method (or by a slice); we do it after the call.
        self._choose = decoder._dynamic_multimask_via_stability if decoder.dynamic_multimask_via_stability else None
        decoder.dynamic_multimask_via_stability = True
        decoder._dynamic_multimask_via_stability = _all_masks

    def call(self, batch: Sequence[Job], wanted: slice) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call; all four masks cost what one costs. See `gpoa.segmenters.segmenter.Decoder`."""
        import torch

        embedding, encoder = batch[0].embedding, self.model.prompt_encoder
        size = embedding.original_size
        maps = [embedding.extras[name].to(self.device).expand(len(batch), -1, -1, -1) for name in _MAPS]
        points = partial(to_stretched_points, original_size=size, side=encoder.input_image_size)
        mask = partial(mask_to_stretched, original_size=size, side=encoder.mask_input_size[0])
        tensors = prompt_tensors(batch, self.device, points, mask)
        with torch.inference_mode():
            answer = self.model(image_embeddings=maps, multimask_output=False, **tensors)
            masks, iou = answer.pred_masks, answer.iou_scores  # [B, 1, 4, L, L], [B, 1, 4]
            if masks.shape[2] != 4:
                version = import_transformers().__version__
                raise ModelError(f"transformers {version}: its {type(self.model).__name__} is not known here")
            if self._choose is not None:
                first, score = self._choose(masks, iou)
                masks = torch.cat([first, masks[:, :, 1:]], dim=2)
                iou = torch.cat([score, iou[:, :, 1:]], dim=2)
        stretched = masks[:, 0, wanted].float().cpu().numpy()
        return masks_to_padded(stretched, size), iou[:, 0, wanted].float().cpu().numpy()


def _all_masks(masks: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Stands in for the library's choice among the four masks: keeps all."""
    return masks, scores
