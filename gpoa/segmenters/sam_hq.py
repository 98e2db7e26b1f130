"""SAM-HQ (Ke et al. 2023, arXiv:2306.01567) through `transformers`, from its form or from an official `.pth` file.

SAM-HQ adds to SAM's decoder one token with features of an early layer of the image encoder; its mask is added to SAM's.

Legend: `B` prompt sets of one call, `M` masks a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.geometry import to_sam_points
from gpoa.models.hf_loading import import_transformers, quiet_loading, to_device
from gpoa.runtime.memory import Batches
from gpoa.runtime.precision import keep_norms
from gpoa.segmenters.base import ENCODER_BYTES, encode_in_batches
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.hf_sam import batches_of_one_shape, load_transformers, to_transformers
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

if TYPE_CHECKING:
    import torch

# Width of the image encoder -> (layers, heads, layers with global attention) of ViT-B, ViT-L and ViT-H.
_ENCODERS = {
    768: (12, 12, (2, 5, 8, 11)),
    1024: (24, 16, (5, 11, 17, 23)),
    1280: (32, 16, (7, 15, 23, 31)),
}


class SamHq:
    """SAM-HQ from a folder with a transformers model, or with one official `.pth` file.

    Mask 0 is the library's for `multimask_output=False`: SAM's single mask plus the high-quality one. Masks 1 to 3 are
    the library's for `multimask_output=True`: SAM's other three, each plus the high-quality one, best predicted IoU
    first. The predicted IoU are SAM's own.

    Args:
        folder: the model's folder.
        weights_id: names the weights.
        device: torch device.

    Attributes:
        encoder_dtype: of the encoder, see `gpoa.runtime.precision`; set it before the first image.
    """

    def __init__(self, folder: Path, weights_id: str, device: str = "cpu") -> None:
        self.folder, self.model_id, self.device = Path(folder), weights_id, device
        self.batch_size = 1 if device == "cpu" else 16
        self.encoder_dtype, self.batches = "float32", Batches(device, ENCODER_BYTES)
        self._model = None

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Runs the image encoder.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            The embedding, rounded to float16 (so that a cached copy is bit-equal); `extras["early"]` is [1, 64, 64,
            width], the encoder's state after its first layer with global attention.
        """
        return self.encode_many([image])[0]

    def encode_many(self, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
        """Runs the image encoder on images of any sizes, on CUDA as many together as its memory holds; see `encode`.

        Raises:
            ModelError: the GPU's memory does not hold one image.
        """
        encoder = self._sam().vision_encoder

        def forward(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            made = encoder(pixels)
            return {"features": made.last_hidden_state, "early": made.intermediate_embeddings[0]}

        return encode_in_batches(images, forward, self.batches, self.encoder_dtype)

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
            all_outputs: all four masks a set, the single one first; they cost two calls.

        Returns:
            low_res_logits [B, M, 256, 256] and iou_predictions [B, M], M being 1, 3 or 4.
        """
        ways = (False, True) if all_outputs else (multimask_output,)
        count = sum(3 if way else 1 for way in ways)
        logits = np.empty((len(prompts), count, 256, 256), dtype=np.float32)
        scores = np.empty((len(prompts), count), dtype=np.float32)
        for group in batches_of_one_shape(prompts, self.batch_size):
            batch = [prompts[i] for i in group]
            answers = [self._call(embedding, batch, way) for way in ways]
            logits[group] = np.concatenate([masks for masks, _ in answers], axis=1)
            scores[group] = np.concatenate([iou for _, iou in answers], axis=1)
        return MaskPrediction(low_res_logits=logits, iou_predictions=scores)

    def _call(
        self, embedding: ImageEmbedding, batch: Sequence[PointPrompts], multimask_output: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call on prompt sets of one shape: masks [B, M, 256, 256] and their predicted IoU [B, M]."""
        import torch

        # Each set is an image of its own to the model: only so can every set have its own mask prompt.
        maps = [
            tensor.to(self.device).expand(len(batch), -1, -1, -1)
            for tensor in (embedding.features, embedding.extras["early"])
        ]
        with torch.inference_mode():
            answer = self._sam()(
                image_embeddings=maps[0],
                intermediate_embeddings=[maps[1]],
                multimask_output=multimask_output,
                **self._tensors(embedding, batch),
            )
        return answer.pred_masks[:, 0].float().cpu().numpy(), answer.iou_scores[:, 0].float().cpu().numpy()

    def _tensors(self, embedding: ImageEmbedding, batch: Sequence[PointPrompts]) -> dict[str, torch.Tensor]:
        """The prompt arguments of the model's forward."""
        import torch

        size, tensors = embedding.original_size, {}
        if len(batch[0].point_labels):
            coords = np.stack([to_sam_points(p.point_coords, size) for p in batch])[:, None]
            tensors["input_points"] = torch.from_numpy(coords)  # [B, 1, K, 2]
            labels = np.stack([p.point_labels for p in batch]).astype(np.int64)[:, None]
            tensors["input_labels"] = torch.from_numpy(labels)  # [B, 1, K]
        if batch[0].box is not None:
            corners = np.stack([to_sam_points(p.box.reshape(2, 2), size).reshape(1, 4) for p in batch])
            tensors["input_boxes"] = torch.from_numpy(corners)  # [B, 1, 4]
        if batch[0].mask_prompt is not None:
            frames = np.stack([np.asarray(p.mask_prompt, dtype=np.float32)[None] for p in batch])
            tensors["input_masks"] = torch.from_numpy(frames)  # [B, 1, 256, 256]
        return {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def _sam(self):
        """The torch model, loaded once."""
        if self._model is None:
            checkpoint = next(iter(sorted(self.folder.glob("*.pth"))), None)
            if checkpoint is None:
                model = load_transformers("SamHQModel", ("sam_hq",), self.folder, self.device)
            else:
                model = to_device(load_official(checkpoint), self.device, checkpoint)
            keep_norms(fast_attention(model.vision_encoder), self.encoder_dtype)
            self._model = model
        return self._model


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
