"""Reduced number types of the image encoders: what `--models.encoder-precision` stands for, and how it is followed.

Products and convolutions are made in the reduced type (torch's autocast), layer norms and the sums between blocks in
float32. What is kept of an image is float16 in any case.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from gpoa.errors import ConfigError

if TYPE_CHECKING:
    import torch

_SUFFIXES = {"float32": "", "bfloat16": "-bf16", "float16": "-fp16"}


def encoder_type(asked: str, device: str) -> str:
    """The number type of the encoders.

    Args:
        asked: float32, bfloat16, float16, or auto: bfloat16 on CUDA where the GPU has it, else float32.
        device: torch device.

    Returns:
        float32, bfloat16 or float16.

    Raises:
        ConfigError: float16 on a CPU.
    """
    import torch

    kind = torch.device(device).type
    if asked == "auto":
        return "bfloat16" if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if asked == "float16" and kind == "cpu":
        raise ConfigError("--models.encoder-precision float16: not on a CPU; take float32, bfloat16 or auto")
    return asked


def reduced_id(model_id: str, dtype: str) -> str:
    """A model's name under which its embeddings of a number type are kept: `-bf16` or `-fp16` added, or nothing."""
    return model_id + _SUFFIXES[dtype]


def full_id(name: str) -> str:
    """A name without what `reduced_id` added to it."""
    for suffix in filter(None, _SUFFIXES.values()):
        name = name.replace(suffix, "")
    return name


def reduced(device: str, dtype: str) -> AbstractContextManager:
    """The context in which torch computes in a number type; nothing for float32."""
    import torch

    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=getattr(torch, dtype))


def keep_norms(model: torch.nn.Module, dtype: str) -> torch.nn.Module:
    """Makes the layer norms of a model get float32.

    Autocast does so on CUDA for torch's own layer norm only, and on a CPU for none: SAM's norm over channels would take
    the squares of reduced numbers.

    Args:
        model: changed in place.
        dtype: of the rest; with float32 nothing is changed.

    Returns:
        The same model.
    """
    if dtype != "float32":
        for module in model.modules():
            if "LayerNorm" in type(module).__name__ or "RMSNorm" in type(module).__name__:
                module.register_forward_pre_hook(_in_float32)
    return model


def _in_float32(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """A hook: the inputs in float32."""
    return tuple(value.float() for value in inputs)
