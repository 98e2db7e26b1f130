"""SAM's attention through torch's kernels, against the library's own forward pass on encoders with random weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention

from gpoa.runtime.precision import keep_norms, reduced
from gpoa.segmenters import fast_encoder
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.lora import LoraPair, LoraWeights, apply_lora
from tests.segmenters.tiny_models import shake

FORMS = ["auto", "bias", "appended"]


def _encoder(**settings: Any) -> torch.nn.Module:
    """Windows of 3 on a grid of 8, so that the last ones are padded, and one block that sees everything."""
    shape = {"img_size": 128, "embed_dim": 16, "depth": 3, "num_heads": 2, "out_chans": 8, "window_size": 3}
    return shake(ImageEncoderViT(**{**shape, "use_rel_pos": True, "global_attn_indexes": (1,), **settings}), 0.3)


def _pixels(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def _made(encoder: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(pixels)


def _assert_equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """But for rounding."""
    assert ours.shape == theirs.shape and theirs.std() > 0.1
    assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


@pytest.mark.parametrize("form", FORMS)
def test_equals_the_library(form: str) -> None:
    encoder = _encoder()
    expected = _made(encoder, _pixels())
    _assert_equal(_made(fast_attention(copy.deepcopy(encoder), form), _pixels()), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("queries", [1, 8, 24, 1000])  # fewer than a row, one row, parts of unequal length, all
def test_parts_of_the_queries(monkeypatch: pytest.MonkeyPatch, form: str, queries: int) -> None:
    monkeypatch.setattr(fast_encoder, "CPU_QUERIES", queries)
    attention = shake(Attention(12, 3, use_rel_pos=True, input_size=(5, 8)), 0.5)  # not square
    x = torch.randn(2, 5, 8, 12, generator=torch.Generator().manual_seed(2))
    _assert_equal(_made(fast_attention(copy.deepcopy(attention), form), x), _made(attention, x))


def test_positions_matter() -> None:
    """Without the tables the output is another, so equal outputs mean something."""
    encoder = _encoder()
    expected = _made(encoder, _pixels())
    for name, value in encoder.named_parameters():
        if "rel_pos_h" in name:
            value.data.zero_()
    assert (_made(fast_attention(encoder), _pixels()) - expected).abs().max() > 1e-2


def _adapter() -> LoraWeights:
    generator = torch.Generator().manual_seed(3)
    pairs = []
    for block in range(3):
        for part in "qv":
            down, up = (torch.randn(shape, generator=generator) for shape in ((2, 16), (16, 2)))
            pairs.append(LoraPair(block, part, down, up, ("a", "b")))
    return LoraWeights(Path("none"), tuple(pairs), 0.5)


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_adapters(merge: bool, before: bool) -> None:
    plain = _encoder()
    expected = _made(apply_lora(copy.deepcopy(plain), _adapter(), merge), _pixels())
    assert (expected - _made(plain, _pixels())).abs().max() > 1e-2
    ours = copy.deepcopy(plain)
    for step in (fast_attention, lambda one: apply_lora(one, _adapter(), merge))[:: 1 if before else -1]:
        step(ours)
    _assert_equal(_made(ours, _pixels()), expected)


def test_blocks_without_relative_positions_are_left() -> None:
    encoder = _encoder(use_rel_pos=False)
    assert not any("forward" in module.__dict__ for module in fast_attention(encoder).modules())


def test_another_grid_is_the_librarys_own_affair() -> None:
    """It stretches its tables."""
    attention = shake(Attention(8, 2, use_rel_pos=True, input_size=(4, 4)), 0.5)
    x = torch.randn(1, 6, 6, 8, generator=torch.Generator().manual_seed(2))
    expected = _made(attention, x)
    assert torch.equal(_made(fast_attention(attention), x), expected)


def test_a_copy_has_weights_of_its_own() -> None:
    first = fast_attention(_encoder())
    second, expected = copy.deepcopy(first), _made(first, _pixels())
    for value in first.parameters():
        value.data.zero_()
    assert torch.equal(_made(second, _pixels()), expected)


@pytest.mark.parametrize("form", FORMS)
def test_reduced(form: str) -> None:
    """bfloat16 keeps eight bits."""
    encoder = _encoder()
    expected = _made(encoder, _pixels())
    ours = keep_norms(fast_attention(encoder, form), "bfloat16")
    with reduced("cpu", "bfloat16"):
        made = _made(ours, _pixels())
    assert 1e-5 < (made - expected).abs().mean() / expected.std() < 0.05


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["Sam", "SamHQ"])
def test_equals_transformers(name: str, form: str) -> None:
    import transformers

    values = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "global_attn_indexes": [1]}
    config = getattr(transformers, f"{name}VisionConfig")(**values, mlp_dim=24, image_size=128, window_size=3)
    encoder = shake(getattr(transformers, f"{name}VisionModel")(config), 0.3)
    with torch.inference_mode():
        expected = encoder(_pixels()).last_hidden_state
        ours = fast_attention(copy.deepcopy(encoder), form)
        assert sum("forward" in module.__dict__ for module in ours.modules()) == 2
        _assert_equal(ours(_pixels()).last_hidden_state, expected)


def test_memory_of_the_mask_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real grid: never more than CPU_QUERIES x N at once."""
    seen, plain = [], torch.nn.functional.scaled_dot_product_attention

    def watch(*inputs: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append(options["attn_mask"].shape)
        return plain(*inputs, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watch)
    attention = Attention(4, 1, use_rel_pos=True, input_size=(64, 64)).eval()
    _made(fast_attention(attention), torch.zeros(1, 64, 64, 4))
    assert seen == [(1, 1, 256, 4096)] * 16
    assert np.prod(seen[0]) == fast_encoder.CPU_QUERIES * 4096
