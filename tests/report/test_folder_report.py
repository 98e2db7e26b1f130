"""`gpoa evaluate` ends in a page that opens from disk, with and without truth and images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.cli.main import main
from gpoa.datasets.prompt_file import PromptRecord, write_prompts
from gpoa.types import PointPrompts


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


def test_plain_words_and_both_numbers(folder: Path, capsys: pytest.CaptureFixture):
    """One folder of masks is no benchmark; a mask that is missing does not hide in the headline."""
    (folder / "masks" / "2.png").unlink()
    page = _run(folder, "--ground-truth", str(folder / "truth"))[1]
    body = re.sub(r' class="[^"]*"', "", page.split("</style>")[1].split("<script>")[0])
    for words in ("All classes", "is marked", "Ours", "ours", "before the agent", "each method", "Methods"):
        assert not re.search(rf"\b{words}\b", body), words
    # IoU 1, 7 / 9 and nothing: rolled by one of eight rows
    assert "mean IoU over all 3 images, 1 missing or unusable counted as 0" in page and "<b>0.593</b>" in page
    assert "mean IoU over the 2 masks that are there" in page and "<b>0.889</b>" in page
    line = "mean IoU 0.5926 with 1 missing or unusable predictions counted as 0, 0.8889 over the 2 that are there"
    assert line in capsys.readouterr().out and line in page
    content = json.loads((folder / "out" / "summary.json").read_text())
    assert content["usable"]["n"] == 2 and content["usable"]["iou"] == pytest.approx(8 / 9)


def test_complete_evaluation_has_one_number(folder: Path):
    """Nothing is missing, so nothing is said of it."""
    Image.open(folder / "truth" / "2.png").save(folder / "masks" / "2.png")
    page = _run(folder, "--ground-truth", str(folder / "truth"))[1]
    assert "mean IoU over 3 images" in page and "missing or unusable counted" not in page


def test_empty_truth_gets_a_remark(folder: Path, capsys: pytest.CaptureFixture):
    """One of them, and all of them."""
    Image.new("L", (30, 20)).save(folder / "truth" / "1.png")
    page = _run(folder, "--ground-truth", str(folder / "truth"))[1]
    assert "1 of 3 true masks are empty (1): these images score 1 or 0 only" in page
    for index in range(3):
        Image.new("L", (30, 20)).save(folder / "truth" / f"{index}.png")
    page = _run(folder, "--ground-truth", str(folder / "truth"))[1]
    assert "every true mask is empty" in page and "every true mask is empty" in capsys.readouterr().out


def test_least_sure_first(folder: Path):
    """Pictures and the list of images follow the confidence, whatever the score."""
    Image.open(folder / "truth" / "2.png").save(folder / "masks" / "2.png")
    prompts = PointPrompts(np.array([[6, 6]], np.float32), np.array([1]))
    for index, confidence in enumerate((0.9, 0.2, 0.5)):
        record = PromptRecord(f"{index}.png", (20, 30), prompts, confidence=confidence)
        write_prompts(folder / "optimized_prompts" / f"{index}.json", record)
    page = _run(folder, "--ground-truth", str(folder / "truth"), "--images", str(folder / "images"))[1]
    shown = re.findall(r"<figcaption><strong>(\d)</strong>", page)
    assert shown == ["1", "2", "0"] and "Least sure first: 3 of 3 images" in page
