"""SAM's prompt encoder and mask decoder in torch, shared by every backend of the first SAM family.

Legend: `B` prompt sets, `K` points, `M` masks a set.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from gpoa.errors import ModelError
from gpoa.geometry import SAM_SIDE, to_sam_points
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

if TYPE_CHECKING:
    import torch


class SamDecoder:
    """Decodes prompt sets from an image embedding.

    Args:
        prompt_encoder: `segment_anything.modeling.PromptEncoder`.
        mask_decoder: `segment_anything.modeling.MaskDecoder`.
        device: torch device.
    """

    def __init__(self, prompt_encoder: torch.nn.Module, mask_decoder: torch.nn.Module, device: str = "cpu") -> None:
        self.prompt_encoder = prompt_encoder.eval().to(device)
        self.mask_decoder = mask_decoder.eval().to(device)
        self.device = device
        # Sets of one shape share a call on a GPU; on a CPU larger batches are slower a set (measured, DESIGN 6).
        self.batch_size = 1 if device == "cpu" else 64
        self._image_pe = self.prompt_encoder.get_dense_pe()

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image.

        Args:
            embedding: from the backend's `encode`.
            prompts: B prompt sets.
            multimask_output: three masks a set instead of one.
            all_outputs: all four masks a set, the single one first; they cost one call like any.

        Returns:
            low_res_logits [B, M, 256, 256] and iou_predictions [B, M], M being 1, 3 or 4.
        """
        wanted = slice(0, 4) if all_outputs else slice(1, 4) if multimask_output else slice(0, 1)
        count = wanted.stop - wanted.start
        logits = np.empty((len(prompts), count, 256, 256), dtype=np.float32)
        scores = np.empty((len(prompts), count), dtype=np.float32)
        for group in self._groups(prompts):
            masks, iou = self._call(embedding, [prompts[i] for i in group])
            logits[group], scores[group] = masks[:, wanted], iou[:, wanted]
        return MaskPrediction(low_res_logits=logits, iou_predictions=scores)

    def _groups(self, prompts: Sequence[PointPrompts]) -> list[list[int]]:
        """Indices of prompt sets of one shape, in batches (no padding, so a mask never depends on its neighbours)."""
        shapes: dict[tuple, list[int]] = {}
        for index, prompt in enumerate(prompts):
            shape = (len(prompt.point_labels), prompt.box is None, prompt.mask_prompt is None)
            shapes.setdefault(shape, []).append(index)
        size = self.batch_size
        return [same[i : i + size] for same in shapes.values() for i in range(0, len(same), size)]

    def _call(self, embedding: ImageEmbedding, batch: Sequence[PointPrompts]) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call on prompt sets of one shape: masks [B, 4, 256, 256] and their predicted IoU [B, 4]."""
        import torch

        with torch.inference_mode():
            sparse, dense = self.prompt_encoder(**self._tensors(embedding, batch))
            masks, iou = self.mask_decoder.predict_masks(
                image_embeddings=embedding.features.to(self.device),
                image_pe=self._image_pe,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )
        return masks.float().cpu().numpy(), iou.float().cpu().numpy()

    def _tensors(self, embedding: ImageEmbedding, batch: Sequence[PointPrompts]) -> dict[str, object]:
        """The arguments of `PromptEncoder.forward`."""
        import torch

        size = embedding.original_size
        points = boxes = masks = None
        if len(batch[0].point_labels):
            coords = np.stack([to_sam_points(p.point_coords, size) for p in batch])  # [B, K, 2]
            labels = np.stack([p.point_labels for p in batch]).astype(np.int64)  # [B, K]
            points = (torch.from_numpy(coords).to(self.device), torch.from_numpy(labels).to(self.device))
        if batch[0].box is not None:
            corners = np.stack([to_sam_points(p.box.reshape(2, 2), size).reshape(4) for p in batch])  # [B, 4]
            boxes = torch.from_numpy(corners).to(self.device)
        if batch[0].mask_prompt is not None:
            frames = np.stack([np.asarray(p.mask_prompt, dtype=np.float32)[None] for p in batch])  # [B, 1, 256, 256]
            masks = torch.from_numpy(frames).to(self.device)
        return {"points": points, "boxes": boxes, "masks": masks}


@functools.cache
def import_modeling() -> ModuleType:
    """`segment_anything.modeling` without the rest of the package.

    The package's own `__init__` imports torchvision for its predictor and its mask generator, which we do not use: two
    seconds of start-up, and an error where a CPU-only torch meets a torchvision built for CUDA. A placeholder package
    stands in for it while the modules load; whoever imports `segment_anything` later gets the real one.
    """
    name = "segment_anything"
    if name in sys.modules:
        return importlib.import_module(f"{name}.modeling")
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModelError("the package segment-anything is not installed; run `pip install segment-anything`")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(f"{name}.modeling")
    finally:
        for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[loaded]


def build_sam_decoder(state: dict[str, torch.Tensor], device: str = "cpu") -> SamDecoder:
    """Builds the decoder that all SAM sizes and MobileSAM share.

    Args:
        state: weights, keys `prompt_encoder.*` and `mask_decoder.*`.
        device: torch device.

    Returns:
        The decoder, every weight loaded (strict).
    """
    modeling = import_modeling()
    prompt_encoder = modeling.PromptEncoder(
        embed_dim=256, image_embedding_size=(64, 64), input_image_size=(SAM_SIDE, SAM_SIDE), mask_in_chans=16
    )
    mask_decoder = modeling.MaskDecoder(
        num_multimask_outputs=3,
        transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    for name, module in (("prompt_encoder.", prompt_encoder), ("mask_decoder.", mask_decoder)):
        module.load_state_dict({k[len(name) :]: v for k, v in state.items() if k.startswith(name)}, strict=True)
    return SamDecoder(prompt_encoder, mask_decoder, device)
