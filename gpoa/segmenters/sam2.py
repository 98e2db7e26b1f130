"""SAM 2.1 (Ravi et al. 2024, arXiv:2408.00714) on single images, through `transformers`; SAM 3's tracker works alike.

The model stretches the image to a square; see `gpoa.segmenters.stretched` for the way to SAM's padded frame and back.

Legend: `B` prompt sets of one call, `M` masks a set, `L` side of the model's low-resolution masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpoa.errors import ModelError
from gpoa.geometry import sam_input_size
from gpoa.models.hf_loading import import_transformers
from gpoa.runtime.memory import Batches, upload
from gpoa.runtime.precision import keep_norms, reduced
from gpoa.segmenters.hf_sam import batches_of_one_shape, load_transformers
from gpoa.segmenters.preprocess import PIXEL_MEAN, PIXEL_STD
from gpoa.segmenters.stretched import (
    features_to_padded,
    mask_to_stretched,
    masks_to_padded,
    stretch,
    to_stretched_points,
)
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

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


class Sam2:
    """SAM 2.1 from a folder with `config.json` and `model.safetensors`.

    Mask 0 is what the model gives for `multimask_output=False`: its single mask, or, where that one is not stable, the
    best of the other three (the published configurations ask for this). Masks 1 to 3 are those of
    `multimask_output=True`.

    Args:
        folder: the model's folder.
        weights_id: names the weights.
        device: torch device.
        family: SAM 2 or SAM 3.

    Attributes:
        encoder_dtype: of the encoder, see `gpoa.runtime.precision`; set it before the first image.
    """

    def __init__(self, folder: Path, weights_id: str, device: str = "cpu", family: Family = SAM2) -> None:
        self.folder, self.model_id, self.device, self.family = Path(folder), weights_id, device, family
        # As for SAM: on a CPU larger batches are slower a set.
        self.batch_size = 1 if device == "cpu" else 32
        self.encoder_dtype, self.batches = "float32", Batches(device, _ENCODER_BYTES)
        self._model = None

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Runs the image encoder.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            The embedding, rounded to float16 (so that a cached copy is bit-equal): the model's three maps in `extras`,
            and in `features` the coarse one in SAM's padded frame.
        """
        return self.encode_many([image])[0]

    def encode_many(self, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
        """Runs the image encoder on images of any sizes, on CUDA as many together as its memory holds; see `encode`.

        Raises:
            ModelError: the GPU's memory does not hold one image.
        """
        self._sam()  # loaded before the free memory is asked for
        return self.batches.run(images, self._encode_batch)

    def _encode_batch(self, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
        """One encoder call."""
        import torch

        model, made = self._sam(), []
        side = model.prompt_encoder.input_image_size
        pixels = np.concatenate([stretch(image, side, self.family.mean, self.family.std) for image in images])
        with torch.inference_mode(), reduced(self.device, self.encoder_dtype):
            maps = model.get_image_embeddings(upload(pixels, self.device))
        maps = [one.half().cpu().float().contiguous() for one in maps]
        for i, image in enumerate(images):
            size = (image.shape[0], image.shape[1])
            extras = {name: one[i : i + 1] for name, one in zip(_MAPS, maps, strict=True)}
            features = features_to_padded(extras["image"], size).half().float()
            made.append(ImageEmbedding(features, input_size=sam_input_size(size), original_size=size, extras=extras))
        return made

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image.

        Args:
            embedding: from `encode`.
            prompts: B prompt sets.
            multimask_output: three masks a set instead of one.
            all_outputs: all four masks a set, the single one first; they cost one call like any.

        Returns:
            low_res_logits [B, M, 256, 256] in SAM's padded frame and iou_predictions [B, M], M being 1, 3 or 4.
        """
        wanted = slice(0, 4) if all_outputs else slice(1, 4) if multimask_output else slice(0, 1)
        count = wanted.stop - wanted.start
        logits = np.empty((len(prompts), count, 256, 256), dtype=np.float32)
        scores = np.empty((len(prompts), count), dtype=np.float32)
        for group in batches_of_one_shape(prompts, self.batch_size):
            masks, iou = self._call(embedding, [prompts[i] for i in group])
            logits[group] = masks_to_padded(masks[:, wanted], embedding.original_size)
            scores[group] = iou[:, wanted]
        return MaskPrediction(low_res_logits=logits, iou_predictions=scores)

    def _call(self, embedding: ImageEmbedding, batch: Sequence[PointPrompts]) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call on prompt sets of one shape: masks [B, 4, L, L] in the stretched square, IoU [B, 4]."""
        import torch

        model = self._sam()
        # Each set is an image of its own to the model: only so can every set have its own mask prompt.
        maps = [embedding.extras[name].to(self.device).expand(len(batch), -1, -1, -1) for name in _MAPS]
        with torch.inference_mode():
            answer = model(image_embeddings=maps, multimask_output=False, **self._tensors(embedding, batch))
            masks, iou = answer.pred_masks, answer.iou_scores  # [B, 1, 4, L, L], [B, 1, 4]
            if masks.shape[2] != 4:
                version = import_transformers().__version__
                raise ModelError(f"transformers {version}: its {self.family.class_name} is not known here")
            if self._choose is not None:
                first, score = self._choose(masks, iou)
                masks = torch.cat([first, masks[:, :, 1:]], dim=2)
                iou = torch.cat([score, iou[:, :, 1:]], dim=2)
        return masks[:, 0].float().cpu().numpy(), iou[:, 0].float().cpu().numpy()

    def _tensors(self, embedding: ImageEmbedding, batch: Sequence[PointPrompts]) -> dict[str, torch.Tensor]:
        """The prompt arguments of the model's forward."""
        import torch

        encoder = self._sam().prompt_encoder
        size, side, tensors = embedding.original_size, encoder.input_image_size, {}
        if len(batch[0].point_labels):
            coords = np.stack([to_stretched_points(p.point_coords, size, side) for p in batch])[:, None]
            tensors["input_points"] = torch.from_numpy(coords)  # [B, 1, K, 2]
            labels = np.stack([p.point_labels for p in batch]).astype(np.int64)[:, None]
            tensors["input_labels"] = torch.from_numpy(labels)  # [B, 1, K]
        if batch[0].box is not None:
            corners = np.stack([to_stretched_points(p.box.reshape(2, 2), size, side).reshape(1, 4) for p in batch])
            tensors["input_boxes"] = torch.from_numpy(corners)  # [B, 1, 4]
        if batch[0].mask_prompt is not None:
            low = encoder.mask_input_size[0]
            frames = np.stack([mask_to_stretched(p.mask_prompt, size, low)[None] for p in batch])
            tensors["input_masks"] = torch.from_numpy(frames)  # [B, 1, L, L]
        return {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def _sam(self):
        """The torch model, loaded once, its decoder set to give all four masks."""
        if self._model is None:
            model = load_transformers(self.family.class_name, self.family.kinds, self.folder, self.device)
            decoder = model.mask_decoder
            # The library cuts the four masks down to one by this method (or by a slice); we do it after the call.
            self._choose = decoder._dynamic_multimask_via_stability if decoder.dynamic_multimask_via_stability else None
            decoder.dynamic_multimask_via_stability = True
            decoder._dynamic_multimask_via_stability = _all_masks
            keep_norms(model.vision_encoder, self.encoder_dtype)
            self._model = model
        return self._model


def _all_masks(masks: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Stands in for the library's choice among the four masks: keeps all."""
    return masks, scores
