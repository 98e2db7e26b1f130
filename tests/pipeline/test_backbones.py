"""Which models a config builds, by stand-ins for the loading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import gpoa.pipeline.backbones
import gpoa.runtime.machine
from gpoa.config import GpoaConfig, ModelsConfig
from gpoa.errors import ConfigError, ModelError
from gpoa.features.cache import EmbeddingCache, image_digest
from gpoa.pipeline.backbones import Backbones
from gpoa.runtime.memory import Batches
from gpoa.runtime.precision import full_id
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.segmenters.sam2 import Sam2
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import ImageEmbedding, PatchFeatures

IMAGE = np.zeros((20, 30, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def no_feature_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No extractor, and models lie in the test's own folder."""
    monkeypatch.setattr(Backbones, "_build_extractor", lambda self: None)
    monkeypatch.setattr(gpoa.pipeline.backbones.store, "ensure", lambda name, root: root / name)


def _build(root: Path, **models: str) -> Backbones:
    config = replace(GpoaConfig(), models=ModelsConfig(checkpoints=str(root), **models))
    return Backbones(config, EmbeddingCache(root / "cache"))


def _folder(root: Path) -> Path:
    """A folder that looks like MobileSAM's; nothing is loaded before it is used."""
    folder = root / "mine"
    folder.mkdir()
    for name in ("encoder.onnx", "decoder.safetensors"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_folder_of_the_user_is_recognised_by_what_it_holds(tmp_path: Path):
    backbones = _build(tmp_path, segmenter=str(_folder(tmp_path)))
    backend = backbones.segmenter.backend
    assert isinstance(backend, MobileSam) and backend.folder == tmp_path / "mine"


def test_an_adapter_changes_the_name_of_the_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpoa.pipeline.backbones.card, "model_id", lambda folder: "as the card says")
    folder = _folder(tmp_path)
    before = _build(tmp_path, segmenter=str(folder)).segmenter.model_id
    save_file({"w_a_000": torch.ones(1, 8)}, folder / "lora.safetensors")
    after = _build(tmp_path, segmenter=str(folder)).segmenter.model_id
    assert before == "as the card says" and after.startswith(f"{before}+") and len(after) == len(before) + 13


def test_unknown_segmenter(tmp_path: Path):
    with pytest.raises(ModelError, match="--models.segmenter magic: unknown segmenter; known are mobile_sam"):
        _build(tmp_path, segmenter="magic")


def test_precision_reaches_the_decoder_or_is_refused(tmp_path: Path):
    assert _build(tmp_path, segmenter=str(_folder(tmp_path))).segmenter.dtype == "float32"
    assert _build(tmp_path, segmenter=str(tmp_path / "mine"), precision="auto").segmenter.dtype == "auto"
    (tmp_path / "sam2.1_tiny").mkdir()
    with pytest.raises(ConfigError, match="sam2.1_tiny decodes in float32 only"):
        _build(tmp_path, segmenter="sam2.1_tiny", precision="bfloat16")


def test_all_that_a_decoder_needs_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []

    def encode(self: PromptableSegmenter, image: np.ndarray) -> ImageEmbedding:
        calls.append(image)
        extras = {"high": torch.full((1, 2, 4, 4), 0.5)}
        return ImageEmbedding(torch.ones(1, 256, 64, 64), (683, 1024), image.shape[:2], extras)

    monkeypatch.setattr(PromptableSegmenter, "encode", encode)
    folder = _folder(tmp_path)
    for _ in range(2):
        embedding = _build(tmp_path, segmenter=str(folder)).embedding(IMAGE)
        assert embedding.extras["high"].shape == (1, 2, 4, 4) and float(embedding.features.mean()) == 1
        assert embedding.input_size == (683, 1024) and embedding.original_size == (20, 30)
    assert len(calls) == 1


class _Fixed:
    """An encoder that takes no type."""

    def __init__(self, folder: Path, weights_id: str, device: str) -> None:
        self.model_id = weights_id


def test_encoder_precision_reaches_the_encoder_and_its_name_or_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sam2.1_tiny").mkdir()
    monkeypatch.setattr(gpoa.runtime.machine, "has_bfloat16", lambda: False)
    plain, reduced, auto = (
        _build(tmp_path, segmenter="sam2.1_tiny", device="cpu", encoder_precision=kind).segmenter
        for kind in ("float32", "bfloat16", "auto")
    )
    assert (plain.encoder_dtype, reduced.encoder_dtype, auto.encoder_dtype) == ("float32", "bfloat16", "float32")
    assert reduced.model_id == f"{plain.model_id}-bf16" and auto.model_id == plain.model_id
    with pytest.raises(ConfigError, match="--models.encoder-precision float16: not on a CPU"):
        _build(tmp_path, segmenter="sam2.1_tiny", device="cpu", encoder_precision="float16")
    monkeypatch.setitem(gpoa.pipeline.backbones.SEGMENTERS, "sam2.1_tiny", _Fixed)
    with pytest.raises(ConfigError, match="encoder-precision bfloat16: sam2.1_tiny encodes in float32 only; take"):
        _build(tmp_path, segmenter="sam2.1_tiny", device="cpu", encoder_precision="bfloat16")
    monkeypatch.setattr(gpoa.pipeline.backbones, "encoder_type", lambda asked, device: "bfloat16")  # as auto is on CUDA
    assert not _build(tmp_path, segmenter="sam2.1_tiny", encoder_precision="auto").segmenter.model_id.endswith("-bf16")


class _Encoder:
    """Means of images, as embedding and as tokens; counts the images of each call."""

    patch_size, batches = 14, Batches("cpu", 1, on_cpu=3)

    def __init__(self, model_id: str) -> None:
        self.model_id, self.calls = model_id, []

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        self.calls.append(1)
        return self._embed(image)

    def encode_many(self, images: list[np.ndarray]) -> list[ImageEmbedding]:
        self.calls.append(len(images))
        return [self._embed(image) for image in images]

    def _embed(self, image: np.ndarray) -> ImageEmbedding:
        return ImageEmbedding(torch.full((1, 256, 64, 64), float(image.mean())), (683, 1024), image.shape[:2])

    def extract(self, image: np.ndarray) -> PatchFeatures:
        self.calls.append(1)
        return self._tokens(image)

    def extract_many(self, images: list[np.ndarray]) -> list[PatchFeatures]:
        self.calls.append(len(images))
        return [self._tokens(image) for image in images]

    def _tokens(self, image: np.ndarray) -> PatchFeatures:
        tokens = np.full((32 * 32, 2), image.mean(), np.float32)
        return PatchFeatures(tokens, (32, 32), 14, (448, 448), image.shape[:2])


def _service(root: Path, cache: EmbeddingCache) -> Backbones:
    """Backbones around two counting encoders, without position directions."""
    folder = root / "mine"
    folder = folder if folder.is_dir() else _folder(root)
    config = GpoaConfig(models=ModelsConfig(segmenter=str(folder), device="cpu"))
    service = Backbones(replace(config, matching=replace(config.matching, debias_components=0)), cache)
    service.segmenter, service.extractor = _Encoder("sam"), _Encoder("vit")
    return service


IMAGES = [np.full((20, 30, 3), value, np.uint8) for value in (1, 2, 3, 4)]
KEYS = [image_digest(image) for image in IMAGES]


@pytest.mark.parametrize("on_disk", [True, False])
def test_images_are_encoded_ahead_once(tmp_path: Path, on_disk: bool):
    service = _service(tmp_path, EmbeddingCache(tmp_path / "cache" if on_disk else None))
    service.encode_ahead([*IMAGES[:3], IMAGES[0]], [*KEYS[:3], KEYS[0]])  # one of them twice
    service.encode_ahead(IMAGES[1:], KEYS[1:])
    assert service.segmenter.calls == service.extractor.calls == [3, 1]
    for image, key in zip(IMAGES, KEYS, strict=True):
        assert float(service.embedding(image, key).features.mean()) == image[0, 0, 0]
        assert float(service.features(image).tokens.mean()) == image[0, 0, 0]
    assert service.segmenter.calls == service.extractor.calls == [3, 1]


def test_images_ahead_do_not_take_the_place_of_the_one_at_hand(tmp_path: Path):
    service = _service(tmp_path, EmbeddingCache(tmp_path / "cache"))
    first = service.embedding(IMAGES[0], KEYS[0])
    service.encode_ahead(IMAGES[1:], KEYS[1:])
    assert service.embedding(IMAGES[0], KEYS[0]) is first


def test_without_a_cache_the_latest_two_groups_are_kept(tmp_path: Path):
    service = _service(tmp_path, EmbeddingCache(None))
    for group in (slice(0, 1), slice(1, 2), slice(2, 4)):
        service.encode_ahead(IMAGES[group], KEYS[group])
    for image in IMAGES[::-1]:
        service.embedding(image)
    assert service.segmenter.calls == [1, 1, 2, 1]  # the first image's was given up


def test_as_many_images_ahead_as_both_models_take(tmp_path: Path):
    service = _service(tmp_path, EmbeddingCache(None))
    assert service.ahead == 3
    service.extractor.batches = Batches("cpu", 1, on_cpu=2)
    assert service.ahead == 2
    service.extractor = service.segmenter = object()  # models that take one image at a time
    assert service.ahead == 1


def test_names_without_the_type(tmp_path: Path):
    (tmp_path / "sam2.1_tiny").mkdir()
    made = [
        _build(tmp_path, segmenter="sam2.1_tiny", device="cpu", encoder_precision=kind)
        for kind in ("float32", "bfloat16")
    ]
    for one in made:
        one.extractor = _Encoder("vit@448/12" + "-bf16" * (one is made[1]))
    assert isinstance(made[0].segmenter.backend, Sam2)
    assert made[1].ids["features"] == "vit@448/12-bf16-32" and made[1].ids["segmenter"].endswith("-bf16")
    assert {role: full_id(name) for role, name in made[1].ids.items()} == made[0].ids


@pytest.mark.parametrize(("winner", "name"), [("bfloat16", "fake-bf16"), ("float32", "fake")])
def test_auto_takes_the_type_that_is_the_fastest_here(monkeypatch: pytest.MonkeyPatch, winner: str, name: str) -> None:
    class Model:
        model_id, encoder_dtype = "fake", "float32"

        def extract(self, image: np.ndarray) -> str:
            assert image.shape == (1024, 1024, 3)
            return self.encoder_dtype

    def answer(question: str, ways: Callable[[], dict[str, Callable]]) -> str:
        assert question == "encoder of fake"
        assert [call() for call in ways().values()] == ["float32", "bfloat16"]
        return winner

    monkeypatch.setattr(gpoa.runtime.machine, "has_bfloat16", lambda: True)
    monkeypatch.setattr(gpoa.runtime.machine, "fastest_way", answer)
    made, service = Model(), object.__new__(Backbones)
    service.config, service.device = GpoaConfig(models=ModelsConfig(encoder_precision="auto")), "cpu"
    service._reduce(made, "fake")
    assert (made.encoder_dtype, made.model_id) == (winner, name)
