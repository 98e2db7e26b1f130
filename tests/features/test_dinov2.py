"""DINOv2: what is refused without weights, and what the tokens are with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpoa.errors import ConfigError, ModelError
from gpoa.features.dinov2 import PIXEL_MEAN, PIXEL_STD, Dinov2Extractor

SHAPE = {"model_type": "dinov2", "patch_size": 14, "num_hidden_layers": 12, "hidden_size": 384}


def _folder(parent: Path, config: str | None, weights: bytes | None = None) -> Path:
    if config is not None:
        (parent / "config.json").write_text(config)
    if weights is not None:
        (parent / "model.safetensors").write_bytes(weights)
    return parent


@pytest.mark.parametrize(("size", "remedy"), [(100, "take 98"), (57, "take 56")])
def test_image_size_must_fit_the_patches(tmp_path: Path, size: int, remedy: str) -> None:
    with pytest.raises(ConfigError, match=f"--features.image-size {size} is not a multiple .* 14; {remedy}"):
        Dinov2Extractor(_folder(tmp_path, json.dumps(SHAPE)), "tiny", image_size=size)


def test_layers_must_exist(tmp_path: Path) -> None:
    folder = _folder(tmp_path, json.dumps(SHAPE))
    with pytest.raises(ConfigError, match="--features.layers .*13.* 12 layers"):
        Dinov2Extractor(folder, "tiny", image_size=56, layers=(3, 13))
    assert Dinov2Extractor(folder, "tiny", image_size=56, layers=(12,)).depth == 12


@pytest.mark.parametrize(
    "config",
    [
        None,  # no file
        "{",  # cut off
        '{"patch_size": 14}',  # half a shape
        '{"patch_size": "big", "num_hidden_layers": 12}',
        "[]",
        '{"patch_size": null, "num_hidden_layers": 12}',
    ],
)
def test_no_dinov2_there(tmp_path: Path, config: str | None) -> None:
    with pytest.raises(ModelError, match="no transformers DINOv2") as raised:
        Dinov2Extractor(_folder(tmp_path, config), "tiny", image_size=56)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("weights", [None, b"", b"\x10" * 64])  # missing, empty, another format
def test_damaged_weights(tmp_path: Path, weights: bytes | None) -> None:
    extractor = Dinov2Extractor(_folder(tmp_path, json.dumps(SHAPE), weights), "tiny", image_size=56)
    with pytest.raises(ModelError, match="cannot be loaded") as raised:
        extractor.extract(np.zeros((30, 50, 3), np.uint8))
    assert "\n" not in str(raised.value)


def test_model_id_names_every_setting(tmp_path: Path) -> None:
    folder = _folder(tmp_path, json.dumps(SHAPE))
    settings = [("a", 56, (12,)), ("b", 56, (12,)), ("a", 112, (12,)), ("a", 56, (9, 12)), ("a", 56, (12, 9))]
    assert len({Dinov2Extractor(folder, *setting).model_id for setting in settings}) == len(settings)


@pytest.fixture(scope="module")
def extractor(weights_root: Path) -> Dinov2Extractor:
    return Dinov2Extractor(weights_root / "dinov2-small", "dinov2-small", image_size=56)


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.weights
@pytest.mark.parametrize("size", [(30, 50), (90, 20)])  # wide, tall
def test_tokens(extractor: Dinov2Extractor, size: tuple[int, int]) -> None:
    features = extractor.extract(_image(*size))
    assert (features.tokens.shape, features.tokens.dtype) == ((16, 384), np.float32)
    assert (features.grid_size, features.patch_size, features.input_size) == ((4, 4), 14, (56, 56))
    assert features.original_size == size
    np.testing.assert_allclose(np.linalg.norm(features.tokens, axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(features.tokens, features.tokens.astype(np.float16))
    assert len(np.unique(features.tokens[:, 0])) > 8  # patches differ


@pytest.mark.weights
def test_tokens_are_deterministic_and_leave_the_image_alone(extractor: Dinov2Extractor) -> None:
    image = _image(30, 50)
    first, second = extractor.extract(image), extractor.extract(image.copy())
    np.testing.assert_array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(image, _image(30, 50))
    assert not np.array_equal(first.tokens, extractor.extract(255 - image).tokens)


@pytest.mark.weights
def test_tokens_are_transformers_own(extractor: Dinov2Extractor, weights_root: Path) -> None:
    """An image of the input's size is not resampled: the last layer's tokens are `last_hidden_state` without [CLS]."""
    import torch
    from transformers import Dinov2Model

    image = _image(56, 56)
    model = Dinov2Model.from_pretrained(weights_root / "dinov2-small").eval()
    pixels = torch.from_numpy((image / 255.0 - PIXEL_MEAN) / PIXEL_STD).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        tokens = model(pixel_values=pixels).last_hidden_state[0, 1:].numpy()
    expected = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    np.testing.assert_allclose(extractor.extract(image).tokens, expected, atol=1e-3)


@pytest.mark.weights
def test_several_layers_are_joined(extractor: Dinov2Extractor, weights_root: Path) -> None:
    joined = Dinov2Extractor(weights_root / "dinov2-small", "dinov2-small", image_size=56, layers=(9, 12))
    tokens = joined.extract(_image(30, 50)).tokens
    assert tokens.shape == (16, 768)
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=1), 1, atol=1e-3)
    last = extractor.extract(_image(30, 50)).tokens
    np.testing.assert_allclose(tokens[:, 384:] * np.sqrt(2), last, atol=1e-3)
