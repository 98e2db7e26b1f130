"""What `gpoa doctor IMAGE` says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gpoa.cli.main import main
from gpoa.config import ReadingConfig
from gpoa.datasets.describe import describe_image, draw_text
from tests.datasets.files import store


def test_facts_of_a_stack(tmp_path: Path) -> None:
    values = np.linspace(100, 900, 2 * 20 * 30).astype(np.float32).reshape(2, 20, 30)
    values[:, 0] = -9999
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    facts = describe_image(tmp_path / "a.tif", ReadingConfig())
    assert facts == {
        "size": "30 x 20 (width x height, upright)",
        "pages": 2,
        "page shown": 0,
        "kind": "tiff",
        "type": "float32",
        "shape": "20x30x1 (rows x columns x channels)",
        "channels": "1",
        "channels shown": "0",
        "values": "120.017 to 499.666",
        "no measurement": "5.0 % of the values",
        "window": "120.017 to 499.666",
    }


def test_a_turned_photograph_is_said_to_be_upright(tmp_path: Path) -> None:
    """6 wide and 4 high as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = describe_image(store(tmp_path / "a.jpg", np.zeros((4, 6, 3), np.uint8), exif=exif), ReadingConfig())
    assert facts["size"] == "4 x 6 (width x height, upright)"
    assert facts["turned"].startswith("stored with EXIF orientation 6") and facts["channels"] == "R G B"


def test_thumbnail_of_characters() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 2:] = 255
    assert draw_text(image, 4) == "  @@\n  @@"


def test_doctor_looks_at_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is there, one that is not; text, JSON and a file."""
    path = store(tmp_path / "a.png", np.full((40, 1000), 255, np.uint8))
    assert main(["doctor", str(path), str(tmp_path / "b.png"), "--thumbnails", str(tmp_path / "seen")]) == 1
    shown = capsys.readouterr()
    assert "1000 x 40 (width x height, upright)" in shown.out and "@@@@" in shown.out
    assert "b.png: no such file" in shown.err
    assert Image.open(tmp_path / "seen" / "a.png.png").size == (512, 20)
    assert main(["doctor", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[str(path)]["kind"] == "PNG"
