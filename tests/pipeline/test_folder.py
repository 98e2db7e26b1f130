"""Folders on a device that encodes ahead. (`test_bad_input.py`: what users put in; `test_parallel.py`: processes.)"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

import gpoa.pipeline.folder
import gpoa.pipeline.image
from gpoa.config import GpoaConfig, OptimizeConfig
from gpoa.datasets.image_io import load_image
from gpoa.features.cache import image_digest
from gpoa.pipeline.folder import run_folder
from gpoa.pipeline.image import ImagePipeline
from tests.fake_backbones import FakeBackbones


class Accelerator(FakeBackbones):
    """Says that it is one, and notes what it is given."""

    device, ahead = "cuda", 2
    encoded: ClassVar[list[list[str]]] = []

    def encode_ahead(self, images, keys) -> None:
        """Notes the keys; one group is too much for it."""
        assert keys == [image_digest(image) for image in images]
        self.encoded.append(list(keys))
        if len(self.encoded) == 2:
            raise RuntimeError("out of memory")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five targets with a red square each."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        image = rng.integers(0, 60, (60, 90, 3), dtype=np.uint8)
        image[15:45, 10 + 8 * number : 40 + 8 * number] = (210, 40, 40)
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def _run(folder: Path, output: str, backbones: type, monkeypatch: pytest.MonkeyPatch) -> gpoa.pipeline.folder.Report:
    """Segments the folder after its first image."""
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", backbones)
    mask = np.zeros((60, 90), dtype=bool)
    mask[15:45, 10:40] = True
    segmenter = ImagePipeline(GpoaConfig(optimize=OptimizeConfig(strategy="best-of-n", budget=2)))
    segmenter.fit(load_image(folder / "images" / "0.png"), mask)
    return run_folder(segmenter, folder / "images", folder / output)


def test_ahead_gives_what_in_turn_gives(folder: Path, monkeypatch: pytest.MonkeyPatch):
    Accelerator.encoded.clear()
    in_turn = _run(folder, "a", FakeBackbones, monkeypatch)
    keys = [image_digest(load_image(path)) for path in sorted((folder / "images").iterdir())]
    (folder / "images" / "2x.png").write_bytes(b"no picture")
    ahead = _run(folder, "b", Accelerator, monkeypatch)
    assert [(item.stem, item.status) for item in ahead.items if item.stem != "2x"] == [
        (item.stem, item.status) for item in in_turn.items
    ]
    failed = next(item for item in ahead.items if item.stem == "2x")
    assert failed.status == "failed" and "2x.png" in failed.error
    # Groups of two; the broken one is not encoded.
    assert Accelerator.encoded == [keys[0:2], keys[2:3], keys[3:5]]
    for path in (folder / "a" / "masks").iterdir():
        assert path.read_bytes() == (folder / "b" / "masks" / path.name).read_bytes()


def test_what_is_there_is_neither_read_nor_encoded(folder: Path, monkeypatch: pytest.MonkeyPatch):
    _run(folder, "out", Accelerator, monkeypatch)
    (folder / "out" / "masks" / "3.png").unlink()
    Accelerator.encoded.clear()
    read, honest = [], gpoa.pipeline.folder.load_sample
    spy = lambda sample, reading: read.append(sample.image_path.name) or honest(sample, reading)  # noqa: E731
    monkeypatch.setattr(gpoa.pipeline.folder, "load_sample", spy)
    report = _run(folder, "out", Accelerator, monkeypatch)
    assert [item.status for item in report.items] == ["kept", "kept", "kept", "ok", "kept"]
    assert read == ["3.png"] and [len(group) for group in Accelerator.encoded] == [1]
