"""SAM and its pruned forms (SlimSAM, arXiv:2312.05284) in the layout of `transformers`, and what all backends through
`transformers` share: loading with checks, the names of the weights, and sets of prompts in batches.

Legend: `B` prompt sets, `M` masks a set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.models.hf_loading import load_pretrained
from gpoa.runtime.precision import keep_norms
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.lora import merge_adapter
from gpoa.segmenters.sam_decoder import SamDecoder, build_sam_decoder
from gpoa.segmenters.segmenter import VIT_BYTES, DecoderType, Encoder, Job

if TYPE_CHECKING:
    import torch

# Parts of parameter names: the official repositories', transformers'. The first that fits wins, so longer ones come
# first.
_NAMES = (
    ("mask_downscaling.0.", "mask_embed.conv1."),
    ("mask_downscaling.1.", "mask_embed.layer_norm1."),
    ("mask_downscaling.3.", "mask_embed.conv2."),
    ("mask_downscaling.4.", "mask_embed.layer_norm2."),
    ("mask_downscaling.6.", "mask_embed.conv3."),
    ("prompt_encoder.point_embeddings.", "prompt_encoder.point_embed."),  # not `not_a_point_embed`
    ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
    ("compress_vit_feat.0.", "compress_vit_conv1."),
    ("compress_vit_feat.1.", "compress_vit_norm."),
    ("compress_vit_feat.3.", "compress_vit_conv2."),
    ("embedding_encoder.0.", "encoder_conv1."),
    ("embedding_encoder.1.", "encoder_norm."),
    ("embedding_encoder.3.", "encoder_conv2."),
    ("embedding_maskfeature.0.", "mask_conv1."),
    ("embedding_maskfeature.1.", "mask_norm."),
    ("embedding_maskfeature.3.", "mask_conv2."),
    ("hf_token.", "hq_token."),
    ("neck.0.", "neck.conv1."),
    ("neck.1.", "neck.layer_norm1."),
    ("neck.2.", "neck.conv2."),
    ("neck.3.", "neck.layer_norm2."),
    ("patch_embed.proj.", "patch_embed.projection."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".norm3.", ".layer_norm3."),
    (".norm4.", ".layer_norm4."),
    (".norm_final_attn.", ".layer_norm_final_attn."),
)
_MLP = {"layers.0.": "proj_in.", "layers.1.": "layers.0.", "layers.2.": "proj_out."}
"""A three-layer perceptron's layers: the official names, transformers'."""
_PERCEPTRON = re.compile(
    r"((?:output_hypernetworks_mlps\.\d+|iou_prediction_head|hf_mlp|hq_mask_mlp)\.)(.*?\.)(weight|bias)$"
)


@dataclass(frozen=True)
class HfSam:
    """SAM from a folder with `config.json` and `model.safetensors`.

    The image encoder is transformers'. The decoder is the one that all SAM sizes share, with the folder's weights: it
    gives all four masks in one call, where transformers' own needs two.

    Args:
        folder: the model's folder; a LoRA adapter in it (see `gpoa.segmenters.lora.find_adapter`) is merged.
    """

    folder: Path
    encoder_bytes = VIT_BYTES
    reduces_decoder = True

    def load(self, device: str, encoder_dtype: str) -> torch.nn.Module:
        """The torch model; see `load_transformers`."""
        model = load_transformers("SamModel", ("sam",), self.folder, device)
        merge_adapter(model.vision_encoder, self.folder)
        keep_norms(fast_attention(model.vision_encoder), encoder_dtype)
        return model

    def encoder(self, model: Any, device: str, dtype: str) -> Encoder:
        """The image encoder."""
        return Encoder(lambda pixels: {"features": model.get_image_embeddings(pixels)}, device, dtype)

    def decoder(self, model: Any, device: str, dtype: DecoderType) -> SamDecoder:
        """The decoder.

        Raises:
            ModelError: it is not SAM's.
        """
        state = {to_official(name): value for name, value in model.state_dict().items()}
        try:
            return build_sam_decoder(state, device, dtype)
        except RuntimeError as error:
            raise ModelError(f"{self.folder}: its decoder is not SAM's ({one_line(error)})") from error


def load_transformers(class_name: str, kinds: Sequence[str], folder: Path, device: str) -> Any:
    """Loads a model of `transformers` from a folder, never executing code from it.

    Args:
        class_name: the class of `transformers`.
        kinds: the values of `model_type` in `config.json` that the class can be made from.
        folder: holds `config.json` and safetensors weights (other formats are refused: they may hold code).
        device: torch device.

    Returns:
        The model in evaluation mode, float32.

    Raises:
        ModelError: the folder holds another model, a damaged or an incomplete one, the installed transformers is too
            old, or the device is missing.
    """
    check_kind(folder, kinds)
    return load_pretrained(class_name, folder, device)


def check_kind(folder: Path, kinds: Sequence[str]) -> str:
    """Reads `model_type` from a folder's `config.json` and checks it.

    Args:
        folder: a model's folder.
        kinds: the values that are right.

    Returns:
        The value.

    Raises:
        ModelError: there is no readable `config.json`, or it is of another model.
    """
    path = Path(folder) / "config.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: missing or damaged ({one_line(error)}); it must name its model_type") from error
    if kind not in kinds:
        raise ModelError(f"{path}: is of a {kind!r} model, not of {' or '.join(kinds)}")
    return kind


def to_official(name: str) -> str:
    """A parameter's name in the official repositories' layout, from transformers'."""
    name = _renamed(name, ((other, official) for official, other in _NAMES))
    parts = _PERCEPTRON.search(name)
    if parts:
        layer = {other: official for official, other in _MLP.items()}.get(parts[2], parts[2])
        name = f"{name[: parts.start()]}{parts[1]}{layer}{parts[3]}".replace("hq_mask_mlp.", "hf_mlp.")
    if name.startswith("vision_encoder."):
        name = name.replace("vision_encoder.", "image_encoder.").replace(".layers.", ".blocks.")
    return name


def to_transformers(name: str) -> str:
    """A parameter's name in transformers' layout, from the official repositories'."""
    name = _renamed(name, _NAMES)
    parts = _PERCEPTRON.search(name)
    if parts and parts[2] in _MLP:
        name = f"{name[: parts.start()]}{parts[1]}{_MLP[parts[2]]}{parts[3]}".replace("hf_mlp.", "hq_mask_mlp.")
    if name.startswith("image_encoder."):
        name = name.replace("image_encoder.", "vision_encoder.").replace(".blocks.", ".layers.")
    return name


def _renamed(name: str, parts: Iterable[tuple[str, str]]) -> str:
    """A name with the first part that it holds replaced."""
    return next((name.replace(old, new) for old, new in parts if old in name), name)


def group_of(job: Job) -> tuple[int, int, bool, bool]:
    """Which prompt sets share a call: those of one image and one shape, without padding, so that no mask depends on its
    neighbours."""
    prompts = job.prompts
    return job.image, len(prompts.point_labels), prompts.box is None, prompts.mask_prompt is None


def prompt_tensors(
    batch: Sequence[Job],
    device: str,
    points: Callable[[np.ndarray], np.ndarray],
    mask: Callable[[np.ndarray], np.ndarray],
) -> dict[str, torch.Tensor]:
    """The prompt arguments of a model of transformers, to which each set is an image of its own: only so can every set
    have its own mask prompt.

    Args:
        batch: B prompt sets of one group (`group_of`).
        device: torch device.
        points: [K, 2] (x, y) in original pixels -> in the model's frame, float32.
        mask: [256, 256] mask prompt in SAM's padded frame -> in the model's frame, float32.

    Returns:
        `input_points` [B, 1, K, 2], `input_labels` [B, 1, K], `input_boxes` [B, 1, 4] and `input_masks` [B, 1, L, L],
        those that the sets have.
    """
    import torch

    arrays, sets = {}, [job.prompts for job in batch]
    if len(sets[0].point_labels):
        arrays["input_points"] = np.stack([points(one.point_coords) for one in sets])[:, None]
        arrays["input_labels"] = np.stack([one.point_labels for one in sets]).astype(np.int64)[:, None]
    boxes = [one.box for one in sets if one.box is not None]
    if boxes:
        arrays["input_boxes"] = np.stack([points(box.reshape(2, 2)).reshape(1, 4) for box in boxes])
    masks = [one.mask_prompt for one in sets if one.mask_prompt is not None]
    if masks:
        arrays["input_masks"] = np.stack([mask(one)[None] for one in masks])
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
