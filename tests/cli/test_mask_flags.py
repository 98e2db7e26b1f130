"""`gpoa run` and `gpoa prompts` say what the reference mask is, and take the flags that choose in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpoa.pipeline.image
from gpoa.cli.main import main
from tests.fake_backbones import FakeBackbones


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Targets among which the reference and its mask lie; the mask has two ids, of which 2 is the red block."""
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    monkeypatch.setenv("GPOA_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name, x in (("ref", 20), ("t0", 40)):
        image = rng.integers(0, 60, (60, 90, 3), dtype=np.uint8)
        image[20:45, x : x + 30] = (210, 40, 40)
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    labels = np.zeros((60, 90), np.uint8)
    labels[20:45, 20:50] = 2
    labels[0:5, 0:8] = 1
    Image.fromarray(labels).save(tmp_path / "images" / "ref_mask.png")
    return tmp_path


def _main(folder: Path, verb: str, *more: str) -> int:
    images = folder / "images"
    flags = ["--reference", str(images / "ref.png"), "--mask", str(images / "ref_mask.png"), "--targets", str(images)]
    return main([verb, *flags, "--output", str(folder / "out"), *more])


def test_run_leaves_the_reference_out_and_chooses_a_label(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """One line each; one mask is written, and the COCO file has run lengths where they are asked for."""
    status = _main(folder, "run", "--strategy", "none", "--label", "2", "--coco", "--coco-format", "rle")
    said = capsys.readouterr().out.splitlines()
    assert status == 0
    assert "reference mask: 13.9 % of the image is object (the value 2 counts)" in said
    assert "  left out 2 of 3 targets, which are references or their masks: ref.png, ref_mask.png" in said
    assert [path.name for path in (folder / "out" / "masks").iterdir()] == ["t0.png"]
    (image,) = json.loads((folder / "out" / "coco.json").read_text())["images"]
    assert image["file_name"] == "t0.png"


def test_prompts_names_the_ids(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """Without a choice, all ids are the object, and that is said."""
    assert _main(folder, "prompts") == 0
    said = capsys.readouterr().out.splitlines()
    assert "reference mask: 14.6 % of the image is object (every value above 0 counts)" in said
    assert "reference mask: it holds 2 ids (1, 2), all taken as object; --label 1 takes one of them" in said


def test_flags_that_contradict_each_other(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """Refused in one line."""
    assert _main(folder, "run", "--label", "2", "--mask-threshold", "0.5") == 2
    assert "--label and --mask-threshold: give one of them" in capsys.readouterr().err
