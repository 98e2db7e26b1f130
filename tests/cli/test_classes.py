"""`gpoa run` with classes, and what `gpoa evaluate` says of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import gpoa.pipeline.image
from gpoa.cli.main import main
from tests.fake_backbones import FakeBackbones
from tests.pipeline.test_classes import scene


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ref.png with labels.png, one.png and two.png of a class each; images/t0.png with its truth."""
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    monkeypatch.setenv("GPOA_CACHE", str(tmp_path / "cache"))
    image, labels = scene(16, 80)
    Image.fromarray(image).save(tmp_path / "ref.png")
    for name, values in (("labels", labels), ("one", (labels == 1) * 255), ("two", (labels == 2) * 255)):
        Image.fromarray(values.astype("uint8")).save(tmp_path / f"{name}.png")
    for name in ("images", "truth"):
        (tmp_path / name).mkdir()
    image, labels = scene(80, 16)
    Image.fromarray(image).save(tmp_path / "images" / "t0.png")
    Image.fromarray(labels).save(tmp_path / "truth" / "t0.png")
    return tmp_path


def _run(folder: Path, masks: tuple[str, ...], *more: str) -> int:
    references = [str(folder / "ref.png")] * len(masks)
    arguments = ["--reference", *references, "--mask", *(str(folder / name) for name in masks)]
    return main(["run", *arguments, "--targets", str(folder / "images"), "--output", str(folder / "out"), *more])


def test_a_label_image_or_a_mask_a_class(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """Both ways give the same label image, and evaluate scores each class."""
    assert _run(folder, ("labels.png",), "--class-names", "1=red", "2=blue") == 0
    first = (folder / "out" / "labels" / "t0.png").read_bytes()
    assert _run(folder, ("one.png", "two.png"), "--class", "red", "blue") == 0
    assert (folder / "out" / "labels" / "t0.png").read_bytes() == first
    capsys.readouterr()
    arguments = ["--predictions", str(folder / "out"), "--ground-truth", str(folder / "truth")]
    assert main(["evaluate", *arguments, "--output", str(folder / "evaluation"), "--json"]) == 0
    classes = json.loads(capsys.readouterr().out)["classes"]
    assert {name: one["n"] for name, one in classes.items()} == {"red": 1, "blue": 1}
    assert all(one["iou"] > 0.7 for one in classes.values())
    assert main(["evaluate", *arguments, "--output", str(folder / "evaluation")]) == 0
    assert "red" in capsys.readouterr().out and (folder / "evaluation" / "classes.csv").is_file()


@pytest.mark.parametrize(
    ("masks", "flags", "message"),
    [
        (("one.png",), ["--class", "a", "b"], "--class names 2 classes, but there are 1 references"),
        (("one.png",), ["--class", "a", "--class-names", "1=b"], "--class and --class-names: give one of them"),
        (("labels.png",), ["--class-names", "7=cat"], "--class-names 7=cat: no reference has this class"),
        (("labels.png",), ["--class-names", "cat"], "--class-names cat: expected number=name"),
        (("labels.png",), ["--class-names", "x=cat"], "x is no number of a label image"),
        (("one.png",), ["--class", "a", "--processes", "2"], "run in one process"),
        (("one.png",), ["--class", "a", "--coco"], "`gpoa export` writes files of several"),
        (("one.png",), ["--class", "a", "--points", "3,3"], "give --mask"),
        (("one.png",), ["--class", "a", "--matching.method", "ridge"], "classes compete by the prior's"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, masks: tuple[str, ...], flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert _run(folder, masks, *flags) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said
