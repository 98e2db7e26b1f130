"""SAM and its pruned forms (SlimSAM, arXiv:2312.05284) in the layout of `transformers`, and what all backends through
`transformers` share: loading with checks, the names of the weights, and sets of prompts in batches.

Legend: `B` prompt sets, `M` masks a set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.models.hf_loading import load_pretrained
from gpoa.runtime.memory import Batches
from gpoa.runtime.precision import keep_norms
from gpoa.segmenters.base import ENCODER_BYTES, encode_in_batches
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.sam_decoder import DecoderType, SamDecoder, build_sam_decoder
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

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


class HfSam:
    """SAM from a folder with `config.json` and `model.safetensors`.

    The image encoder is transformers'. The decoder is the one that all SAM sizes share, with the folder's weights: it
    gives all four masks in one call, where transformers' own needs two.

    Args:
        folder: the model's folder; a LoRA adapter in it (see `gpoa.segmenters.lora.find_adapter`) is merged.
        weights_id: names the weights.
        device: torch device.

    Attributes:
        encoder_dtype: of the encoder, see `gpoa.runtime.precision`; set it before the first image.
    """

    def __init__(self, folder: Path, weights_id: str, device: str = "cpu") -> None:
        self.folder, self.model_id, self.device = Path(folder), weights_id, device
        self.dtype: DecoderType = "float32"
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
        encoder = self._sam().get_image_embeddings
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
        if self._decoder is None:
            state = {to_official(name): value for name, value in self._sam().state_dict().items()}
            try:
                self._decoder = build_sam_decoder(state, self.device, self.dtype)
            except RuntimeError as error:
                raise ModelError(f"{self.folder}: its decoder is not SAM's ({one_line(error)})") from error
        return self._decoder.decode(embedding, prompts, multimask_output, all_outputs)

    def _sam(self):
        """The torch model, loaded once."""
        if self._model is None:
            from gpoa.segmenters.lora import apply_lora, find_adapter, load_lora

            model = load_transformers("SamModel", ("sam",), self.folder, self.device)
            adapter = find_adapter(self.folder)
            if adapter is not None:
                apply_lora(model.vision_encoder, load_lora(adapter))
            keep_norms(fast_attention(model.vision_encoder), self.encoder_dtype)
            self._model = model
        return self._model


def load_transformers(class_name: str, kinds: Sequence[str], folder: Path, device: str):
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
    for official, other in _NAMES:
        if other in name:
            name = name.replace(other, official)
            break
    parts = _PERCEPTRON.search(name)
    if parts:
        layer = {other: official for official, other in _MLP.items()}.get(parts[2], parts[2])
        name = f"{name[: parts.start()]}{parts[1]}{layer}{parts[3]}".replace("hq_mask_mlp.", "hf_mlp.")
    if name.startswith("vision_encoder."):
        name = name.replace("vision_encoder.", "image_encoder.").replace(".layers.", ".blocks.")
    return name


def to_transformers(name: str) -> str:
    """A parameter's name in transformers' layout, from the official repositories'."""
    for official, other in _NAMES:
        if official in name:
            name = name.replace(official, other)
            break
    parts = _PERCEPTRON.search(name)
    if parts and parts[2] in _MLP:
        name = f"{name[: parts.start()]}{parts[1]}{_MLP[parts[2]]}{parts[3]}".replace("hf_mlp.", "hq_mask_mlp.")
    if name.startswith("image_encoder."):
        name = name.replace("image_encoder.", "vision_encoder.").replace(".blocks.", ".layers.")
    return name


def batches_of_one_shape(prompts: Sequence[PointPrompts], size: int) -> list[list[int]]:
    """Indices of prompt sets of one shape, at most `size` together (no padding: no mask depends on its neighbours)."""
    shapes: dict[tuple, list[int]] = {}
    for index, prompt in enumerate(prompts):
        shape = (len(prompt.point_labels), prompt.box is None, prompt.mask_prompt is None)
        shapes.setdefault(shape, []).append(index)
    return [same[i : i + size] for same in shapes.values() for i in range(0, len(same), size)]
