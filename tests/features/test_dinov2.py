"""DINOv2 with and without registers, against transformers; tiny models, and the real ones where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpoa.features.hf_vit import HfVit
from gpoa.models.zoo import ZOO, HubSource
from tests.features.tiny_vits import all_folders, assert_equals_library, grey_levels
from tests.segmenters.tiny_models import SIZES, picture

TinyVit = Callable[[str], Path]
KINDS = ["dinov2", "dinov2_with_registers"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_transformers(tiny_vit: TinyVit, kind: str, size: tuple[int, int]) -> None:
    for folder in all_folders(tiny_vit(kind), kind):
        assert_equals_library(kind, folder, picture(size))


@pytest.mark.parametrize("size", [*SIZES, (600, 400)])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_agree_with_the_library(tiny_vit: TinyVit, kind: str, size: tuple[int, int]) -> None:
    for folder in all_folders(tiny_vit(kind), kind):
        assert grey_levels(folder, picture(size), 98) <= 1.001


def test_without_a_preprocessor_config_the_pixels_are_dinov2s(tiny_vit: TinyVit, tmp_path: Path) -> None:
    """The embedded model comes without one: its tokens must not depend on that."""
    import shutil

    given = tiny_vit("dinov2")
    folder = shutil.copytree(given, tmp_path / "m", ignore=shutil.ignore_patterns("preprocessor*"))
    assert HfVit(folder, "id", 56, (3,)).pixels == HfVit(given, "id", 56, (3,)).pixels


@pytest.mark.parametrize(
    ("kind", "prefix", "names"),
    [
        ("dinov2", 1, {"encoder.layer.0.attention.attention.query.weight", "encoder.layer.2.layer_scale1.lambda1"}),
        ("dinov2_with_registers", 5, {"embeddings.register_tokens", "encoder.layer.0.norm1.weight"}),
    ],
)
def test_layout(tiny_vit: TinyVit, kind: str, prefix: int, names: set[str]) -> None:
    from safetensors import safe_open

    with safe_open(tiny_vit(kind) / "model.safetensors", framework="numpy") as file:
        assert names | {"embeddings.mask_token", "layernorm.bias"} <= set(file.keys())
    assert HfVit(tiny_vit(kind), "id", 56, (3,)).shape.prefix == prefix


def test_swiglu(tmp_path: Path) -> None:
    """The giant's perceptron has a gate."""
    from transformers import Dinov2Config, Dinov2Model

    from tests.features.tiny_vits import OFFICIAL, SHAPE, library_tokens
    from tests.segmenters.tiny_models import shake

    config = Dinov2Config(**{**SHAPE, **OFFICIAL["dinov2"][1]}, use_swiglu_ffn=True)
    shake(Dinov2Model(config)).save_pretrained(tmp_path)
    extractor, image = HfVit(tmp_path, "id", 56, (3,)), picture(SIZES[1])
    import torch

    pixels = torch.from_numpy(extractor.pixels.to_input(image, 56))
    expected = library_tokens("dinov2", tmp_path, pixels, 3)
    np.testing.assert_allclose(extractor.extract(image).tokens, expected, atol=2e-3)


@pytest.mark.parametrize("size", ["small", "base", "large", "giant"])
def test_cards(size: str) -> None:
    plain, registers = ZOO[f"dinov2-{size}"], ZOO[f"dinov2-{size}-registers"]
    assert registers.architecture == "dinov2_with_registers"
    assert (registers.role, registers.licence, registers.size) == ("features", "Apache-2.0", plain.size)
    assert registers.sources[0] == HubSource(
        f"facebook/dinov2-with-registers-{size}", ("config.json", "model.safetensors", "preprocessor_config.json")
    )


@pytest.fixture(scope="module")
def extractor(weights_root: Path) -> HfVit:
    return HfVit(weights_root / "dinov2-small", "dinov2-small", image_size=56)


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.weights
@pytest.mark.parametrize("size", [(30, 50), (90, 20)])  # wide, tall
def test_tokens(extractor: HfVit, size: tuple[int, int]) -> None:
    features = extractor.extract(_image(*size))
    assert (features.tokens.shape, features.tokens.dtype) == ((16, 384), np.float32)
    assert (features.grid_size, features.patch_size, features.input_size) == ((4, 4), 14, (56, 56))
    assert features.original_size == size
    np.testing.assert_allclose(np.linalg.norm(features.tokens, axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(features.tokens, features.tokens.astype(np.float16))
    assert len(np.unique(features.tokens[:, 0])) > 8  # patches differ


@pytest.mark.weights
def test_tokens_are_deterministic_and_leave_the_image_alone(extractor: HfVit) -> None:
    image = _image(30, 50)
    first, second = extractor.extract(image), extractor.extract(image.copy())
    np.testing.assert_array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(image, _image(30, 50))
    assert not np.array_equal(first.tokens, extractor.extract(255 - image).tokens)


@pytest.mark.weights
def test_the_default_is_bit_equal_to_what_the_policy_was_trained_with(weights_root: Path) -> None:
    """The steps of gpoa 0.1, one by one: the policy that comes with gpoa and all caches rest on these tokens."""
    import torch
    from PIL import Image
    from transformers import Dinov2Model

    image, model = _image(70, 110), Dinov2Model.from_pretrained(weights_root / "dinov2-small").eval()
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    picture_ = Image.fromarray(image).resize((112, 112), Image.Resampling.BICUBIC)
    pixels = ((np.asarray(picture_, dtype=np.float32) / 255.0 - mean) / std).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        hidden = model(torch.from_numpy(np.ascontiguousarray(pixels)), output_hidden_states=True).hidden_states
        parts = [torch.nn.functional.normalize(model.layernorm(hidden[n])[0, 1:], dim=-1) for n in (9, 12)]
        expected = (torch.cat(parts, dim=-1).numpy() / np.sqrt(2)).astype(np.float16)
    ours = HfVit(weights_root / "dinov2-small", "w", 112, (9, 12))
    np.testing.assert_array_equal(ours.extract(image).tokens, expected.astype(np.float32))
    assert ours.model_id == "w@112/9+12"


@pytest.mark.weights
def test_real_weights_equal_transformers(weights_root: Path) -> None:
    assert_equals_library("dinov2", weights_root / "dinov2-small", picture(SIZES[0]))


@pytest.mark.weights
def test_several_layers_are_joined(extractor: HfVit, weights_root: Path) -> None:
    joined = HfVit(weights_root / "dinov2-small", "dinov2-small", image_size=56, layers=(9, 12))
    tokens = joined.extract(_image(30, 50)).tokens
    assert tokens.shape == (16, 768)
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=1), 1, atol=1e-3)
    last = extractor.extract(_image(30, 50)).tokens
    np.testing.assert_allclose(tokens[:, 384:] * np.sqrt(2), last, atol=1e-3)
