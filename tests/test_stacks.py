"""Stacks and deep images through `gpoa run`. The models are stand-ins; everything else is real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gpoa.cli.main import main
from gpoa.datasets.raster import say_once
from tests.fake_backbones import FakeBackbones

SIZE = (96, 144)


def _page(x: int) -> np.ndarray:
    """[96, 144, 3] uint16 of 12-bit values: a red square at x on green."""
    page = np.zeros((*SIZE, 3), np.uint16)
    page[..., 1] = 2900
    page[32:64, x : x + 48] = (3500, 480, 480)
    return page


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reference, its mask, and a stack of three pages with a single picture beside it."""
    say_once.cache_clear()
    monkeypatch.setattr("gpoa.pipeline.image.Backbones", FakeBackbones)
    tifffile.imwrite(tmp_path / "ref.tif", _page(20), photometric="rgb")
    Image.fromarray(_page(20)[..., 0] > 0).save(tmp_path / "mask.png")
    (tmp_path / "images").mkdir()
    stack = np.stack([_page(x) for x in (10, 45, 80)])
    tifffile.imwrite(tmp_path / "images" / "s.tif", stack, photometric="rgb")
    tifffile.imwrite(tmp_path / "images" / "t.tif", _page(60), photometric="rgb")
    return tmp_path


def _run(work: Path, *extra: str, out: str = "out") -> int:
    arguments = ["--reference", str(work / "ref.tif"), "--mask", str(work / "mask.png")]
    return main(["run", *arguments, "--targets", str(work / "images"), "--output", str(work / out), *extra])


def _iou(mask: np.ndarray, x: int) -> float:
    truth = _page(x)[..., 0] > 0
    return float(((mask > 0) & truth).sum() / ((mask > 0) | truth).sum())


def test_every_page_gets_its_mask(
    work: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert _run(work, "--masks", "tiff") == 0
    assert "4 segmented of 4 images" in capsys.readouterr().out
    assert caplog.text.count("s.tif: 3 pages; 3 of 3 pages are used") == 1
    for page, x in enumerate((10, 45, 80)):
        assert _iou(np.asarray(Image.open(work / "out" / "masks" / f"s_p000{page}.png")), x) > 0.8
    stack = tifffile.imread(work / "out" / "masks_tiff" / "s.tif")
    assert stack.shape == (3, *SIZE) and _iou(stack[2], 80) > 0.8
    assert _iou(tifffile.imread(work / "out" / "masks_tiff" / "t.tif"), 60) > 0.8
    assert _run(work) == 0
    assert "4 already there" in capsys.readouterr().out


def test_chosen_pages_and_another_choice_of_channels(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Red and green exchanged is another picture: it is done again."""
    assert _run(work, "--pages", "2") == 0
    assert sorted(path.name for path in (work / "out" / "masks").iterdir()) == ["s_p0002.png", "t.png"]
    assert _run(work, "--pages", "1-2") == 0
    assert "1 segmented, 2 already there of 3 images" in capsys.readouterr().out
    assert _run(work, "--pages", "2", "--channels", "1", "0", "2") == 0
    assert "2 segmented of 2 images" in capsys.readouterr().out


def test_one_window_for_the_run_is_saved_with_it(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(work / "images" / "u.tif", _page(60) * 2, photometric="rgb")
    assert _run(work, "--intensity", "run", "--pages", "first") == 0
    saved = json.loads((work / "out" / "run.json").read_text())["config"]["reading"]
    assert saved["window"] == [0, 7000] and saved["pages"] == ["first"]


def test_a_wrong_choice_is_one_line(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(work, "--pages", "last") == 2
    assert "--pages last" in capsys.readouterr().err
    assert _run(work, "--channels", "7") == 2
    assert "--channels 7: the image has 3 channels, 0 to 2" in capsys.readouterr().err
