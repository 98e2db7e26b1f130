"""`gpoa evaluate` ends in a page that opens from disk, with and without truth and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.cli.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, their true masks, and predictions of which the last is of another size."""
    for part in ("images", "truth", "masks"):
        (tmp_path / part).mkdir()
    for index in range(3):
        truth = np.zeros((20, 30), dtype=np.uint8)
        truth[4:12, 5 : 15 + index] = 255
        Image.fromarray(truth).save(tmp_path / "truth" / f"{index}.png")
        Image.fromarray(np.roll(truth, index, axis=0)).save(tmp_path / "masks" / f"{index}.png")
        Image.new("RGB", (30, 20), (90, 90, 90)).save(tmp_path / "images" / f"{index}.png")
    Image.new("L", (10, 10)).save(tmp_path / "masks" / "2.png")
    return tmp_path


def _run(folder: Path, *more: str) -> tuple[int, str]:
    status = main(["evaluate", "--predictions", str(folder / "masks"), "--output", str(folder / "out"), *more])
    return status, (folder / "out" / "report.html").read_text(encoding="utf-8")


def test_scores_pictures_and_what_went_wrong(folder: Path, capsys: pytest.CaptureFixture):
    flags = ("--ground-truth", str(folder / "truth"), "--images", str(folder / "images"))
    status, page = _run(folder, *flags)
    assert status == 1 and str(folder / "out" / "report.html") in capsys.readouterr().out
    assert page.count('<figure class="case">') == 2  # the third has no mask of its size
    assert "failed: 2:" in page and "ground truth</" in page and "reference and its mask" not in page


def test_without_images_there_are_no_pictures(folder: Path):
    page = _run(folder, "--ground-truth", str(folder / "truth"))[1]
    assert '<figure class="case">' not in page and "IoU" in page


def test_without_truth_nothing_is_scored(folder: Path):
    status, page = _run(folder, "--images", str(folder / "images"))
    assert status == 0 and "nothing was scored" in page and '<figure class="case">' in page


def test_images_that_are_not_there_are_one_line(folder: Path, capsys: pytest.CaptureFixture):
    flags = ["--predictions", str(folder / "masks"), "--output", str(folder / "out"), "--images", str(folder / "no")]
    assert main(["evaluate", *flags]) == 2
    assert "no" in capsys.readouterr().err


def test_one_folder_is_compared_with_nothing(folder: Path):
    """No column and no section that could only be empty."""
    page = _run(folder, "--ground-truth", str(folder / "truth"))[1]
    assert "Ours − method" not in page and "Decoder calls" not in page and 'id="classes"' not in page
    assert "Boundary IoU" in page
