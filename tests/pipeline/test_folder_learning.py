"""What is learned from a folder does not depend on where one begins; images are encoded in groups where that gains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpoa.pipeline.image
from gpoa.config import GpoaConfig, GraphConfig
from gpoa.datasets.folder import find_samples
from gpoa.features.cache import EmbeddingCache, image_digest
from gpoa.pipeline.folder_learning import encode_ahead, learn_folder
from gpoa.pipeline.image import ImagePipeline
from tests.fake_backbones import FakeBackbones


class CountingBackbones(FakeBackbones):
    """A device that takes two images together."""

    ahead = 2

    def __init__(self, config: GpoaConfig, cache: EmbeddingCache | None = None) -> None:
        super().__init__(config, cache)
        self.cache = cache
        self.groups: list[list[str]] = []

    def encode_ahead(self, images, keys) -> None:
        """Notes the keys."""
        assert keys == [image_digest(image) for image in images]
        self.groups.append(list(keys))


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImagePipeline:
    """A segmenter that has seen a red square; five more lie in images/, and a broken file."""
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", CountingBackbones)
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        image, mask = rng.integers(0, 60, (60, 90, 3), dtype=np.uint8), np.zeros((60, 90), dtype=bool)
        mask[15:45, 10 + 8 * number : 40 + 8 * number] = True
        image[mask] = (210, 40, 40)
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "images" / "2.png").write_bytes(b"no picture")
    config = GpoaConfig(graph=GraphConfig(folder_images=4))
    return ImagePipeline(config, EmbeddingCache(tmp_path / "cache")).fit(image, mask)


def _learned(segmenter: ImagePipeline, folder: Path, first: float) -> tuple[list[str], np.ndarray]:
    """Which images taught, and what the matcher of a stranger then says."""
    learn_folder(segmenter, find_samples(folder / "images"), first=first)
    matcher, _ = segmenter._folder.fit(leave_out="a stranger")
    return segmenter._folder.keys, matcher(segmenter.fitted.reference.tokens)


def test_the_same_is_learned_wherever_one_begins(fitted: ImagePipeline, tmp_path: Path):
    keys, scores = _learned(fitted, tmp_path, 0.0)
    assert len(keys) == 3  # of images 0, 2, 3 and 5, one is broken
    for first in (0.25, 0.5, 0.99):
        again, more = _learned(fitted, tmp_path, first)
        assert again == keys and np.array_equal(more, scores)  # bit for bit


def test_the_teaching_images_are_encoded_in_groups(fitted: ImagePipeline, tmp_path: Path):
    keys, _ = _learned(fitted, tmp_path, 0.0)
    assert fitted.backbones.groups == [keys[:2], keys[2:]]
    fitted.backbones.cache = EmbeddingCache(None)
    _learned(fitted, tmp_path, 0.0)
    assert len(fitted.backbones.groups) == 2  # without a cache they would be encoded twice


def test_one_image_at_a_time_is_not_encoded_ahead(fitted: ImagePipeline):
    fitted.backbones.ahead = 1
    encode_ahead(fitted, [np.zeros((4, 4, 3), dtype=np.uint8)] * 3)
    assert fitted.backbones.groups == []
