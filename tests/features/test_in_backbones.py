"""Which features `--models.features` and `--features.tiles` give, and what a trained policy says to them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.config import FeaturesConfig, GpoaConfig, MatchingConfig, ModelsConfig
from gpoa.errors import ConfigError, ModelError
from gpoa.features.cache import EmbeddingCache
from gpoa.features.hf_vit import HfVit
from gpoa.features.tiled import TiledExtractor
from gpoa.models.store import find_policy
from gpoa.pipeline.backbones import Backbones
from gpoa.policies.graph_policy import load_policy
from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.types import ImageEmbedding
from tests.segmenters.tiny_models import SIZES, assert_one_line, picture

TinyVit = Callable[[str], Path]


class _Segmenter:
    """An embedding of smooth random maps, and how often it was made."""

    model_id = "fake-sam"

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        self.calls += 1
        maps = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(int(image.sum()) % 1000))
        return ImageEmbedding(maps.half().float(), input_size=(614, 1024), original_size=image.shape[:2])


@pytest.fixture
def sam(tmp_path: Path) -> Path:
    """A folder that is taken for a SAM; its weights are never loaded."""
    folder = tmp_path / "sam"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "sam"}))
    return folder


def _config(features: str | Path, sam: Path, debias: int = 0, **settings: object) -> GpoaConfig:
    root = str(sam.parent / "none")
    models = ModelsConfig(features=str(features), segmenter=str(sam), device="cpu", checkpoints=root)
    values = FeaturesConfig(**{"image_size": 112, "layers": (2, 3), **settings})
    return GpoaConfig(models=models, features=values, matching=MatchingConfig(debias_components=debias))


@pytest.mark.parametrize("kind", ["dinov2_with_registers", "dinov3_vit", "vit", "clip"])
def test_a_folder(tiny_vit: TinyVit, sam: Path, kind: str) -> None:
    service = Backbones(_config(tiny_vit(kind), sam), EmbeddingCache(None))
    made = service.features(picture(SIZES[0]))
    direct = HfVit(tiny_vit(kind), "id", 112, (2, 3)).extract(picture(SIZES[0]))
    np.testing.assert_array_equal(made.tokens, direct.tokens)
    assert (made.grid_size, made.patch_size, made.input_size) == (direct.grid_size, direct.patch_size, (112, 112))
    assert service.ids["features"].startswith(f"{kind}-")
    assert service.ids["features"].endswith("@112/2+3-0")


def test_tiles(tiny_vit: TinyVit, sam: Path, tmp_path: Path) -> None:
    """The same from the model and from the cache, and what the extractor gives."""
    cache, image = EmbeddingCache(tmp_path / "cache"), picture(SIZES[1])
    config = _config(tiny_vit("dinov2"), sam, debias=3, tiles=2)
    made, kept = (Backbones(config, cache).features(image) for _ in range(2))
    assert (made.grid_size, made.input_size, made.tokens.shape) == ((16, 16), (224, 224), (256, 32))
    np.testing.assert_array_equal(made.tokens, kept.tokens)
    assert cache.hits == 2  # tokens and position directions
    plain = Backbones(replace(config, matching=MatchingConfig(debias_components=0)), cache).features(image)
    inner = HfVit(tiny_vit("dinov2"), "id", 112, (2, 3))
    expected = TiledExtractor(inner, 112, 2).extract(image)
    np.testing.assert_array_equal(plain.tokens, expected.tokens)
    assert plain.input_size == expected.input_size


def test_one_tile_is_none(tiny_vit: TinyVit, sam: Path) -> None:
    assert FeaturesConfig(tiles=1) == FeaturesConfig()
    service = Backbones(_config(tiny_vit("dinov2"), sam, tiles=1), EmbeddingCache(None))
    assert isinstance(service.extractor, HfVit)


@pytest.mark.parametrize("tiles", [0, -1, 9])
def test_number_of_tiles(tiles: int) -> None:
    with pytest.raises(ConfigError, match=f"--features.tiles {tiles}: from 1 to 8"):
        FeaturesConfig(tiles=tiles)


def test_the_segmenters_own_features_need_no_second_model(sam: Path, tmp_path: Path) -> None:
    service = Backbones(_config("segmenter", sam), EmbeddingCache(tmp_path / "cache"))
    service.segmenter = fake = _Segmenter()
    image = picture(SIZES[0])
    made = service.features(image)
    assert (made.grid_size, made.patch_size, made.input_size) == ((8, 8), 14, (112, 112))
    expected = embedding_tokens(service.embedding(image), (8, 8)).astype(np.float16)
    np.testing.assert_array_equal(made.tokens, expected.astype(np.float32))
    assert fake.calls == 1  # one encoder pass for features and masks
    assert "#tokens@112" in service.ids["features"]
    assert not (sam.parent / "none").exists()  # nothing was fetched


def test_the_segmenters_own_features_without_position_directions(sam: Path, tmp_path: Path) -> None:
    service = Backbones(_config("segmenter", sam, debias=32), EmbeddingCache(tmp_path / "cache"))
    service.segmenter = fake = _Segmenter()
    made = service.features(picture(SIZES[0]))
    assert fake.calls == 3  # and two images of noise
    np.testing.assert_allclose(made.tokens @ service._noise_directions()[:32].T, 0, atol=1e-3)


def test_the_segmenters_own_features_in_tiles(sam: Path, tmp_path: Path) -> None:
    service = Backbones(_config("segmenter", sam, tiles=2), EmbeddingCache(tmp_path / "cache"))
    service.segmenter = fake = _Segmenter()
    assert service.features(picture(SIZES[0])).grid_size == (16, 16)
    assert fake.calls == 4


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("mobile_sam", "--models.features mobile_sam: not a feature model; see `gpoa models list`"),
        ("sam2.1_tiny", "--models.features sam2.1_tiny: not a feature model"),  # not fetched to find that out
        ("dinov2-smal", "did you mean dinov2-small"),
        ("../nowhere", "no model is called '../nowhere'"),
    ],
)
def test_no_features(sam: Path, features: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        Backbones(_config(features, sam), EmbeddingCache(None))
    assert_one_line(raised)
    assert not (sam.parent / "none").exists()


def test_a_folder_of_a_segmenter(sam: Path) -> None:
    with pytest.raises(ModelError, match="is of a 'sam' model; a feature model is one of dinov2"):
        Backbones(_config(sam, sam), EmbeddingCache(None))


def test_a_repository_of_the_hub(sam: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="Hugging Face hub google/vit-tiny: HF_HUB_OFFLINE is set.*google--vit-tiny"):
        Backbones(_config("google/vit-tiny", sam), EmbeddingCache(None))


def test_the_policy_that_comes_with_gpoa_knows_the_default_and_no_tiles() -> None:
    ridge = MatchingConfig(method="ridge")
    policy, _ = load_policy(find_policy(), GpoaConfig(matching=ridge))
    assert not policy.training
    load_policy(find_policy(), GpoaConfig(matching=ridge, features=FeaturesConfig(tiles=1)))
    with pytest.raises(ModelError, match="features.tiles was None, now 2"):
        load_policy(find_policy(), GpoaConfig(matching=ridge, features=FeaturesConfig(tiles=2)))
    with pytest.raises(ModelError, match="matching.method was ridge, now prior"):
        load_policy(find_policy(), GpoaConfig())


@pytest.mark.weights
@pytest.mark.parametrize(
    ("features", "tiles", "why"),
    [
        ("dinov2-small", 2, "features.tiles was None, now 2"),
        ("segmenter", None, "the policy was trained with dinov2-small.*: prompts are not optimised"),
    ],
)
def test_auto_is_none_with_one_line(
    weights_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, features: str, tiles: int | None, why: str
) -> None:
    from PIL import Image

    from gpoa.pipeline.image import ImagePipeline

    config = GpoaConfig(
        models=ModelsConfig(features=features, device="cpu", checkpoints=str(weights_root)),
        matching=MatchingConfig(method="ridge"),
        features=FeaturesConfig(tiles=tiles, image_size=448 if tiles is None else 112),  # 112 for the sake of time
    )
    image = np.asarray(Image.fromarray(picture((60, 100))))
    mask = image[..., 2] > 128
    segmenter = ImagePipeline(config, EmbeddingCache(tmp_path)).fit(image, mask)
    with caplog.at_level(logging.WARNING):
        found = segmenter.predict(image).mask
        assert segmenter.strategy == "none"
    assert found.shape == mask.shape
    assert [re.search(why, record.message) is not None for record in caplog.records] == [True]
