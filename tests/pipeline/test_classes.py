"""Several classes in one run, with stand-ins for the models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpoa.pipeline.image
from gpoa.config import GpoaConfig, MatchingConfig
from gpoa.datasets.exporters.collection import open_run
from gpoa.errors import ConfigError, DataError
from gpoa.pipeline.classes import ClassSegmenter, run_classes
from tests.fake_backbones import FakeBackbones

RED, BLUE = (220, 30, 30), (30, 40, 220)


def scene(red: int, blue: int) -> tuple[np.ndarray, np.ndarray]:
    """A red and a blue block on grey ground, each 30 wide, and the true labels."""
    image, labels = np.full((64, 128, 3), 120, dtype=np.uint8), np.zeros((64, 128), dtype=np.uint8)
    for number, (place, color) in enumerate(((red, RED), (blue, BLUE)), start=1):
        image[16:48, place : place + 32], labels[16:48, place : place + 32] = color, number
    return image, labels


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> ClassSegmenter:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    image, labels = scene(16, 80)
    return ClassSegmenter().fit({"red": [(image, labels == 1)], "blue": [(image, labels == 2)]})


def test_every_pixel_has_one_class(segmenter: ClassSegmenter) -> None:
    image, labels = scene(80, 16)
    found = segmenter.predict(image)
    assert found.labels.dtype == np.uint8 and found.labels.shape == (64, 128)
    for number in (1, 2):
        ours, theirs = found.labels == number, labels == number
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.7, number
    assert [record.status for record in found.records] == ["ok", "ok"]


def test_a_folder_is_written_kept_and_exported(segmenter: ClassSegmenter, tmp_path: Path) -> None:
    """The label image is a palette picture, a second run does nothing, and an image that is gone bad fails alone."""
    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.fromarray(scene(8 + 8 * number, 80)[0]).save(tmp_path / "images" / f"t{number}.png")
    (tmp_path / "images" / "bad.png").write_bytes(b"nothing")
    report = run_classes(segmenter, tmp_path / "images", tmp_path / "out")
    assert (report.count("ok"), report.count("failed")) == (2, 1)
    picture = Image.open(tmp_path / "out" / "labels" / "t0.png")
    assert picture.mode == "P" and set(np.unique(np.asarray(picture))) == {0, 1, 2}
    assert (tmp_path / "out" / "overlays" / "t0.jpg").is_file() and (tmp_path / "out" / "contact_sheet.jpg").is_file()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["classes"] == {"1": "red", "2": "blue"}
    collection = open_run(tmp_path / "out")
    things = collection.read(collection.entries[0]).things
    assert collection.kind == "classes" and [thing.class_id for thing in things] == [1, 2]
    assert all(0 < (thing.confidence or 0) <= 1 for thing in things)
    assert run_classes(segmenter, tmp_path / "images", tmp_path / "out").count("kept") == 2
    (tmp_path / "out" / "labels" / "t1.png").unlink()
    again = run_classes(segmenter, tmp_path / "images", tmp_path / "out")
    assert (again.count("kept"), again.count("ok")) == (1, 1)


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    with pytest.raises(ConfigError, match="classes compete by the prior's probabilities"):
        ClassSegmenter(GpoaConfig(matching=MatchingConfig(method="ridge")))
    with pytest.raises(ConfigError, match="0 classes"):
        ClassSegmenter().fit({})
    with pytest.raises(DataError, match=r"call fit\("):
        ClassSegmenter().predict(scene(0, 64)[0])
