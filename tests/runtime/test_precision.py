"""Reduced number types of the encoders."""

from __future__ import annotations

import pytest
import torch

from gpoa.errors import ConfigError
from gpoa.runtime.precision import encoder_type, full_id, keep_norms, reduced, reduced_id


@pytest.mark.parametrize(
    ("asked", "device", "native", "dtype"),
    [
        ("float32", "cpu", True, "float32"),
        ("auto", "cpu", True, "float32"),
        ("auto", "mps", True, "float32"),
        ("auto", "cuda", True, "bfloat16"),
        ("auto", "cuda:1", False, "float32"),  # before Ampere, where bfloat16 is imitated
        ("bfloat16", "cpu", True, "bfloat16"),
        ("float16", "cuda", True, "float16"),
    ],
)
def test_types(monkeypatch: pytest.MonkeyPatch, asked: str, device: str, native: bool, dtype: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert encoder_type(asked, device) == dtype


def test_no_float16_on_a_cpu() -> None:
    with pytest.raises(ConfigError, match="--models.encoder-precision float16: not on a CPU; take float32"):
        encoder_type("float16", "cpu")


def test_names() -> None:
    assert [reduced_id("a@448", dtype) for dtype in ("float32", "bfloat16", "float16")] == [
        "a@448",  # as before there were reduced types
        "a@448-bf16",
        "a@448-fp16",
    ]


def test_names_without_the_type() -> None:
    """As `Backbones.ids` has them: the number of directions taken out follows."""
    assert [full_id(name) for name in ("a-0f@448/9+12-bf16-32", "sam-1e-fp16", "sam-1e")] == [
        "a-0f@448/9+12-32",
        "sam-1e",
        "sam-1e",
    ]


def _types(dtype: str) -> list[torch.dtype]:
    """What a layer and the norm after it make."""
    model = keep_norms(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4)), dtype)
    with torch.inference_mode(), reduced("cpu", dtype):
        layer = model[0](torch.ones(2, 4))
        return [layer.dtype, model[1](layer).dtype]


def test_products_are_reduced_and_norms_are_not() -> None:
    assert _types("float32") == [torch.float32, torch.float32]
    assert _types("bfloat16") == [torch.bfloat16, torch.float32]
    assert not torch.is_autocast_enabled("cpu")
