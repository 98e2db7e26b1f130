"""Which models a config builds, by stand-ins for the loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import gpoa.backbones
from gpoa.backbones import Backbones
from gpoa.config import GpoaConfig, ModelsConfig
from gpoa.errors import ConfigError, ModelError
from gpoa.features.cache import EmbeddingCache
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.types import ImageEmbedding

IMAGE = np.zeros((20, 30, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def no_feature_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No extractor, and models lie in the test's own folder."""
    monkeypatch.setattr(Backbones, "_build_extractor", lambda self: None)
    monkeypatch.setattr(gpoa.backbones.store, "ensure", lambda name, root: root / name)


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
    assert isinstance(backbones.segmenter, MobileSam) and backbones.segmenter.folder == tmp_path / "mine"


def test_an_adapter_changes_the_name_of_the_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpoa.backbones.card, "model_id", lambda folder: "as the card says")
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

    def encode(self: MobileSam, image: np.ndarray) -> ImageEmbedding:
        calls.append(image)
        extras = {"high": torch.full((1, 2, 4, 4), 0.5)}
        return ImageEmbedding(torch.ones(1, 256, 64, 64), (683, 1024), image.shape[:2], extras)

    monkeypatch.setattr(MobileSam, "encode", encode)
    folder = _folder(tmp_path)
    for _ in range(2):
        embedding = _build(tmp_path, segmenter=str(folder)).embedding(IMAGE)
        assert embedding.extras["high"].shape == (1, 2, 4, 4) and float(embedding.features.mean()) == 1
        assert embedding.input_size == (683, 1024) and embedding.original_size == (20, 30)
    assert len(calls) == 1
