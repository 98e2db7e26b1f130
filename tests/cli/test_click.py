"""`gpoa click`, with stand-ins for the models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.cli.main import main
from gpoa.datasets.mask_io import load_mask
from tests.fake_backbones import FakeBackbones


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reference, two images and their masks: a red square on grey."""
    monkeypatch.setattr("gpoa.pipeline.image.Backbones", FakeBackbones)
    monkeypatch.chdir(tmp_path)
    for name, corner in (("ref", 20), ("images/a", 40), ("images/b", 10)):
        mask = np.zeros((96, 128), dtype=bool)
        mask[corner : corner + 30, corner : corner + 30] = True
        image = np.where(mask[..., None], [220, 30, 30], [90, 90, 90]).astype(np.uint8)
        for path, pixels in ((f"{name}.png", image), (f"truth/{name.split('/')[-1]}.png", mask)):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / path)
    return tmp_path


def test_from_a_first_click(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["click", "images/a.png", "--first-click", "55,55", "--clicks", "3", "--output", "out"]
    assert main([*arguments, "--trace", "--truth", "truth"]) == 0
    mask = load_mask(folder / "out/masks/a.png", (96, 128))
    assert mask[55, 55] and not mask[5, 120]
    assert Image.open(folder / "out/traces/a.png").size[0] > 100
    (record,) = json.loads((folder / "out/clicks.json").read_text())
    assert record["clicks"][0] == [55.0, 55.0, 1] and 0 < record["dice"][0] <= 1
    assert "Dice" in capsys.readouterr().out
    first = (folder / "out/masks/a.png").read_bytes()
    assert main(arguments) == 0  # without the truth: the same mask
    assert (folder / "out/masks/a.png").read_bytes() == first


def test_a_folder_from_one_reference(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "images/c.png").write_bytes(b"no image")
    assert main(["click", "images", "--reference", "ref.png", "--mask", "truth/ref.png", "--output", "out"]) == 1
    said = capsys.readouterr()
    assert "c.png" in said.err and "a.png: " in said.out
    for name, corner in (("a", 40), ("b", 10)):
        mask = load_mask(folder / f"out/masks/{name}.png", (96, 128), allow_empty=True)
        assert mask[corner + 15, corner + 15] and mask.mean() < 0.5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["images", "--first-click", "5,5"], "belongs to one image, but 2"),
        (["images/a.png", "--first-click", "5;5"], "give x,y in pixels"),
        (["images/a.png", "--clicks", "0"], "must be at least 1"),
        (["images/a.png", "--agent", "nobody"], "take prior, sam, random"),
        (["images/a.png", "--text", "square"], "--text needs --clip"),
        ([], "no image; give files or folders"),
    ],
)
def test_mistakes_are_named(folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str) -> None:
    assert main(["click", *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_click_outside_fails_that_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["click", "images/a.png", "--first-click", "500,5"]) == 1
    assert "outside the image of 128 x 96" in capsys.readouterr().err
