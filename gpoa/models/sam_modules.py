"""The official torch modules of SAM's decoder, from the package `segment_anything`, with weights in them."""

from __future__ import annotations

import functools
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from gpoa.errors import ModelError
from gpoa.geometry import SAM_SIDE

if TYPE_CHECKING:
    import torch


@functools.cache
def import_part(part: str) -> ModuleType:
    """A module of `segment_anything` (modeling, build_sam) without the rest of the package.

    The package's own `__init__` imports torchvision for its predictor and its mask generator, which we do not use: two
    seconds of start-up, and an error where a CPU-only torch meets a torchvision built for CUDA. A placeholder package
    stands in for it while the modules load; whoever imports `segment_anything` later gets the real one.
    """
    name = "segment_anything"
    if name in sys.modules:
        return importlib.import_module(f"{name}.{part}")
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModelError("the package segment-anything is not installed; run `pip install segment-anything`")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(f"{name}.{part}")
    finally:
        for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[loaded]


def build_decoder_modules(state: dict[str, torch.Tensor]) -> tuple[torch.nn.Module, torch.nn.Module]:
    """SAM's prompt encoder and mask decoder, which all SAM sizes and MobileSAM share.

    Args:
        state: weights, keys `prompt_encoder.*` and `mask_decoder.*`.

    Returns:
        (prompt encoder, mask decoder), every weight loaded (strict).

    Raises:
        RuntimeError: the weights are incomplete or of another model.
    """
    modeling = import_part("modeling")
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
    return prompt_encoder, mask_decoder
