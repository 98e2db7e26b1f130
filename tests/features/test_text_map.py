"""Similarity to a word, with a small random CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gpoa.errors import ModelError
from gpoa.features.text_map import TextMap, _values_attend


class Letters:
    """A tokenizer of single letters."""

    def __call__(self, texts: list[str], padding: bool, return_tensors: str) -> dict[str, torch.Tensor]:
        """Letters' numbers between a start and an end."""
        rows = [[1, *(2 + ord(letter) % 90 for letter in text), 98][:40] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [98] * (longest - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.fixture(scope="module")
def model() -> Any:
    """Two layers, patches of 8."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision |= {"image_size": 32, "patch_size": 8}
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    text |= {"vocab_size": 99, "eos_token_id": 98, "bos_token_id": 1, "max_position_embeddings": 40}
    return CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=16)).eval()


IMAGE = np.random.default_rng(0).integers(0, 256, (40, 70, 3)).astype(np.uint8)


def test_a_word_makes_a_map_and_another_word_another_one(model: Any) -> None:
    cat = TextMap(model, Letters(), "cat", side=51)(IMAGE)
    assert cat.shape == (6, 6) and cat.dtype == np.float32  # 51 pixels are 6 patches of 8
    assert 0 <= cat.min() < 0.5 < cat.max() <= 1
    assert not np.allclose(cat, TextMap(model, Letters(), "a bus", side=51)(IMAGE))


def test_without_surgery_the_tokens_are_the_models_own(model: Any) -> None:
    pixels = torch.randn(1, 3, 32, 32)
    made = TextMap(model, Letters(), "cat", side=32)
    with torch.inference_mode():
        own = model.vision_model.post_layernorm(model.vision_model(pixels).last_hidden_state[:, 1:])
        own = torch.nn.functional.normalize(model.visual_projection(own)[0], dim=-1)
        assert torch.allclose(made.patches(pixels, layers=0), own, atol=1e-5)
        assert not torch.allclose(made.patches(pixels, layers=2), own, atol=1e-2)


def test_equal_values_attend_equally(model: Any) -> None:
    attention = model.vision_model.encoder.layers[0].self_attn
    hidden = torch.ones(1, 3, 32)
    with torch.inference_mode():
        expected = attention.out_proj(attention.v_proj(hidden))
        assert torch.allclose(_values_attend(attention, hidden), expected, atol=1e-5)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model there"):
        TextMap.load(tmp_path, "cat")
