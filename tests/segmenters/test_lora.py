"""LoRA adapters: both layouts, merged and not, by hand and on tiny encoders of both libraries."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from segment_anything.modeling import ImageEncoderViT

from gpoa.errors import ModelError
from gpoa.segmenters.lora import apply_lora, find_adapter, load_lora
from tests.segmenters.tiny_models import assert_one_line, shake

WIDTH, BLOCKS, RANK = 8, 2, 3


def _encoder() -> torch.nn.Module:
    """SAM's image encoder, tiny: 32 pixels, two blocks of width 8."""
    model = ImageEncoderViT(
        img_size=32,
        patch_size=16,
        embed_dim=WIDTH,
        depth=BLOCKS,
        num_heads=2,
        out_chans=4,
        use_rel_pos=True,
        window_size=2,
    )
    return shake(model, 0.3)


def _plain(width: int = WIDTH, blocks: int = BLOCKS, rank: int = RANK) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = {}
    for index in range(2 * blocks):
        state[f"w_a_{index:03d}"] = torch.randn(rank, width, generator=generator)
        state[f"w_b_{index:03d}"] = torch.randn(width, rank, generator=generator)
    return state


def _saved(folder: Path, state: dict[str, torch.Tensor], name: str = "lora.safetensors") -> Path:
    save_file(state, folder / name)
    return folder / name


def _as_peft(state: dict[str, torch.Tensor], projection: bool) -> dict[str, torch.Tensor]:
    """The same change in PEFT's words: on q_proj and v_proj, or as one fused pair of twice the rank."""
    peft = {}
    for block in range(BLOCKS):
        stem = f"base_model.model.image_encoder.blocks.{block}.attn"
        aq, av = state[f"w_a_{2 * block:03d}"], state[f"w_a_{2 * block + 1:03d}"]
        bq, bv = state[f"w_b_{2 * block:03d}"], state[f"w_b_{2 * block + 1:03d}"]
        if projection:
            for part, a, b in (("q_proj", aq, bq), ("v_proj", av, bv)):
                peft[f"{stem}.{part}.lora_A.weight"], peft[f"{stem}.{part}.lora_B.weight"] = a, b
            continue
        up = torch.zeros(3 * WIDTH, 2 * RANK)
        up[:WIDTH, :RANK], up[2 * WIDTH :, RANK:] = bq, bv
        peft[f"{stem}.qkv.lora_A.weight"], peft[f"{stem}.qkv.lora_B.weight"] = torch.cat([aq, av]), up
    return {name: tensor.contiguous().clone() for name, tensor in peft.items()}


def test_by_hand(tmp_path: Path) -> None:
    """Width 2, rank 1: q gains [1, 0]' [3, 4], v gains [0, 2]' [5, 6], k nothing."""
    state = {
        "w_a_000": torch.tensor([[3.0, 4.0]]),
        "w_b_000": torch.tensor([[1.0], [0.0]]),
        "w_a_001": torch.tensor([[5.0, 6.0]]),
        "w_b_001": torch.tensor([[0.0], [2.0]]),
    }
    weights = load_lora(_saved(tmp_path, state))
    want = torch.tensor([[3.0, 4.0], [0, 0], [0, 0], [0, 0], [0, 0], [10.0, 12.0]])
    x = torch.tensor([[1.0, -1.0]])
    for merge in (True, False):
        block = torch.nn.Module()
        block.attn = torch.nn.Module()
        block.attn.qkv = torch.nn.Linear(2, 6)
        torch.nn.init.zeros_(block.attn.qkv.weight)
        torch.nn.init.ones_(block.attn.qkv.bias)
        encoder = torch.nn.Module()
        encoder.blocks = torch.nn.ModuleList([block])
        assert apply_lora(encoder, weights, merge=merge, scale=0.5) is encoder
        if merge:
            assert torch.equal(block.attn.qkv.weight, want * 0.5)
        torch.testing.assert_close(block.attn.qkv(x), torch.tensor([[0.5, 1.0, 1.0, 1.0, 1.0, 0.0]]))


def test_merged_equals_not_merged(tmp_path: Path) -> None:
    weights = load_lora(_saved(tmp_path, _plain()))
    pixels = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        before = _encoder()(pixels)
        merged = apply_lora(_encoder(), weights)(pixels)
        apart = apply_lora(_encoder(), weights, merge=False)(pixels)
        off = apply_lora(_encoder(), weights, scale=0.0)(pixels)
    torch.testing.assert_close(merged, apart, atol=1e-5, rtol=1e-5)
    assert (merged - before).abs().max() > 0.01
    assert torch.equal(off, before)


@pytest.mark.parametrize("projection", [True, False])
def test_peft_layout_says_the_same(tmp_path: Path, projection: bool) -> None:
    plain = load_lora(_saved(tmp_path, _plain()))
    path = _saved(tmp_path, _as_peft(_plain(), projection), "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    peft = load_lora(path)
    assert peft.scale == 2.0
    one, other = apply_lora(_encoder(), plain, scale=2.0), apply_lora(_encoder(), peft)
    for index in range(BLOCKS):
        torch.testing.assert_close(one.blocks[index].attn.qkv.weight, other.blocks[index].attn.qkv.weight)


def test_rank_stabilised_scale(tmp_path: Path) -> None:
    path = _saved(tmp_path, _as_peft(_plain(), True))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8, "use_rslora": True}))
    assert load_lora(path).scale == 4.0


def test_peft_on_some_blocks_only(tmp_path: Path) -> None:
    state = {name: value for name, value in _as_peft(_plain(), True).items() if "blocks.1" in name}
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 1, "lora_alpha": 1}))
    encoder = apply_lora(_encoder(), load_lora(_saved(tmp_path, state)))
    assert torch.equal(encoder.blocks[0].attn.qkv.weight, _encoder().blocks[0].attn.qkv.weight)
    assert not torch.equal(encoder.blocks[1].attn.qkv.weight, _encoder().blocks[1].attn.qkv.weight)


def test_encoder_of_transformers(tmp_path: Path) -> None:
    from transformers import SamVisionConfig, SamVisionModel

    config = SamVisionConfig(
        hidden_size=WIDTH, num_hidden_layers=BLOCKS, num_attention_heads=2, image_size=32, output_channels=4,
        window_size=2, global_attn_indexes=[1], num_pos_feats=4, mlp_dim=16,
    )  # fmt: skip
    encoder = shake(SamVisionModel(config)).vision_encoder
    weights = load_lora(_saved(tmp_path, _plain()))
    pixels = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        merged = apply_lora(copy.deepcopy(encoder), weights)(pixels)[0]
        apart = apply_lora(copy.deepcopy(encoder), weights, merge=False)(pixels)[0]
    torch.testing.assert_close(merged, apart, atol=1e-5, rtol=1e-5)


def _without(state: dict, *names: str) -> dict:
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "holds no LoRA weights"),
        (_without(_plain(), "w_b_002"), "w_a_002 has no partner"),
        ({**_plain(), "fc.weight": torch.zeros(1)}, "fc.weight is no LoRA weight"),
        ({"mask_decoder.x.lora_A.weight": torch.zeros(1)}, "mask_decoder.x.lora_A.weight is no LoRA weight"),
        (_plain(width=9), r"w_a_000 has shape \[3, 9\], expected \[3, 8\]"),
        ({**_plain(), "w_b_003": torch.zeros(8, 4)}, r"w_b_003 has shape \[8, 4\], expected \[8, 3\]"),
        ({**_plain(), "w_a_000": torch.zeros(3)}, r"w_a_000 has shape \[3\], expected \[3, 8\]"),
        (_plain(blocks=1), "pairs for 1 blocks, but the encoder has 2"),
        (_plain(blocks=3), "w_a_004 is for block 2, but the encoder has 2 blocks"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, state: dict, message: str) -> None:
    encoder = _encoder()
    with pytest.raises(ModelError, match=message) as raised:
        apply_lora(encoder, load_lora(_saved(tmp_path, state)))
    assert_one_line(raised)
    assert str(tmp_path) in str(raised.value)
    for mine, fresh in zip(encoder.parameters(), _encoder().parameters(), strict=True):
        assert torch.equal(mine, fresh)  # nothing was changed half-way


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 100])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a safetensors file") as raised:
        load_lora(path)
    assert_one_line(raised)


def test_peft_needs_its_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="adapter_config.json: missing or damaged"):
        load_lora(_saved(tmp_path, _as_peft(_plain(), True)))


def test_encoder_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ViT encoders only"):
        apply_lora(torch.nn.Linear(2, 2), load_lora(_saved(tmp_path, _plain())))


def test_find_adapter(tmp_path: Path) -> None:
    assert find_adapter(tmp_path) is None
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    assert find_adapter(tmp_path) == tmp_path / "adapter_model.safetensors"
    (tmp_path / "lora.safetensors").write_bytes(b"")
    assert find_adapter(tmp_path) == tmp_path / "lora.safetensors"
