"""Folders of predictions against folders of truths, and the verb `gpoa evaluate`."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.cli import evaluate as cli
from gpoa.datasets.mask_io import save_mask
from gpoa.datasets.prompt_file import PromptRecord, write_prompts
from gpoa.errors import ConfigError, DataError
from gpoa.evaluation.evaluator import evaluate_folders
from gpoa.evaluation.metrics import METRICS
from gpoa.types import PointPrompts

LEFT = np.array([[1, 1, 0, 0]] * 3, dtype=bool)
TOP = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
NONE = np.zeros((3, 4), dtype=bool)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Predictions, truths and output with one image of every kind."""
    predictions, truths = tmp_path / "predictions", tmp_path / "truth"
    pairs = [("1", LEFT, LEFT), ("2", TOP, LEFT), ("10", NONE, NONE), ("other size", LEFT.T, LEFT)]
    for stem, prediction, truth in pairs:
        save_mask(predictions / f"{stem}.png", prediction)
        save_mask(truths / f"{stem}_mask.png", truth)
    save_mask(truths / "missing.png", LEFT)
    save_mask(predictions / "surplus.png", LEFT)
    for folder, other, stem in [(predictions, truths, "bad prediction"), (truths, predictions, "bad truth")]:
        (folder / f"{stem}.png").write_bytes(b"\x89PNG broken")
        save_mask(other / f"{stem}.png", LEFT)
    return predictions, truths, tmp_path / "output"


def table_of(output: Path) -> dict[str, dict[str, str]]:
    """The rows of metrics.csv by image."""
    with open(output / "metrics.csv", encoding="utf-8", newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_rows(folders: tuple[Path, Path, Path]) -> None:
    """One for each truth, in natural order, with status and scores; then predictions without truth, without scores."""
    evaluate_folders(*folders)
    rows = table_of(folders[2])
    surplus = rows.pop("surplus")
    assert (surplus["status"], surplus["area"]) == ("unscored", "6")
    assert all(surplus[name] == "" for name in METRICS)
    assert list(rows) == ["1_mask", "2_mask", "10_mask", "bad prediction", "bad truth", "missing", "other size_mask"]
    assert [row["status"] for row in rows.values()] == ["ok", "ok", "ok", "failed", "failed", "missing", "failed"]
    assert [rows["2_mask"][name] for name in ("specificity", "boundary_iou")] == ["0.666667", "0.250000"]
    # TOP against LEFT: 2 pixels in both, 2 only predicted, 4 only true.
    assert [rows["2_mask"][name] for name in ("iou", "dice", "precision", "recall")] == [
        "0.250000",
        "0.400000",
        "0.500000",
        "0.333333",
    ]
    assert rows["2_mask"]["false_negative"] == "4"
    assert [rows[name]["iou"] for name in ("1_mask", "10_mask")] == ["1.000000", "1.000000"]
    for name in ("bad prediction", "bad truth", "missing", "other size_mask"):
        assert rows[name]["iou"] == "0.000000" and rows[name]["true_positive"] == "" and rows[name]["message"]
    # Where the truth can be read, a distance is the diagonal of 3 x 4; else there is none.
    assert [rows[name]["hd95"] for name in ("missing", "other size_mask", "bad truth")] == ["5.000000", "5.000000", ""]
    assert "3x4 but its true mask is 4x3" in rows["other size_mask"]["message"]


def test_summary(folders: tuple[Path, Path, Path]) -> None:
    """What failed or is missing counts 0 in every mean."""
    summary = evaluate_folders(*folders)
    content = json.loads((folders[2] / "summary.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(summary.to_dict()))
    values = np.array([1, 0.25, 1, 0, 0, 0, 0])
    expected = {"mean": values.mean(), "median": 0, "std": values.std(), "min": 0, "max": 1}
    assert {name: content["iou"][name] for name in expected} == pytest.approx(expected)
    assert 0 <= content["iou"]["mean_low"] < values.mean() < content["iou"]["mean_high"] < 1
    assert (content["iou"]["n"], content["hd95"]["n"], content["hd95"]["max"]) == (7, 6, 5)
    assert tuple(name for name in content if name in METRICS) == METRICS
    assert content["dice"]["mean"] == pytest.approx(2.4 / 7)
    assert (content["n_images"], content["n_missing"], content["n_failed"]) == (7, 1, 3)
    assert content["missing"] == ["missing"]
    assert content["unmatched_predictions"] == ["surplus.png"]
    assert {"both_empty", "missing_or_failed"} <= set(content["conventions"])
    assert sorted(path.name for path in folders[2].iterdir()) == ["metrics.csv", "summary.json"]


def test_predictions_of_a_run_lie_in_masks(tmp_path: Path) -> None:
    """`gpoa run` writes masks/ beside a contact sheet, which is no mask."""
    save_mask(tmp_path / "run" / "masks" / "a.png", LEFT)
    save_mask(tmp_path / "run" / "contact_sheet.png", TOP)
    save_mask(tmp_path / "truth" / "a.png", LEFT)
    summary = evaluate_folders(tmp_path / "run", tmp_path / "truth", tmp_path / "output")
    assert [row.value("iou") for row in summary.rows] == [1.0] and not summary.unmatched_predictions


def test_truth_is_compared_at_its_own_size_without_filter(tmp_path: Path) -> None:
    """A single true pixel among many counts."""
    truth = np.zeros((50, 70), bool)
    truth[10, 60] = truth[30:40, 5:15] = True
    prediction = truth.copy()
    prediction[10, 60] = False
    save_mask(tmp_path / "p" / "a.png", prediction)
    save_mask(tmp_path / "t" / "a.png", truth)
    (row,) = evaluate_folders(tmp_path / "p", tmp_path / "t", tmp_path / "o").rows
    assert row.value("iou") == 100 / 101


@pytest.mark.parametrize("which", ["predictions", "truth"])
def test_unusable_folder(tmp_path: Path, which: str) -> None:
    """Missing, empty, or a file: one line before anything is written."""
    good = tmp_path / "good"
    save_mask(good / "a.png", LEFT)
    (tmp_path / "empty").mkdir()
    for bad in (tmp_path / "nowhere", tmp_path / "empty", good / "a.png"):
        arguments = (bad, good) if which == "predictions" else (good, bad)
        with pytest.raises(DataError) as info:
            evaluate_folders(*arguments, tmp_path / "output")
        assert "\n" not in str(info.value) and str(bad) in str(info.value)
    assert not (tmp_path / "output").exists()


def flags(folders: tuple[Path, Path, Path], *more: str) -> list[str]:
    """The verb's arguments."""
    names = ("--predictions", "--ground-truth", "--output")
    return [part for pair in zip(names, map(str, folders), strict=True) for part in pair] + list(more)


def test_cli_table(folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Means, problems and files; exit status 1."""
    assert cli.main(flags(folders)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["mean", "low", "high", "median", "std", "min", "max"]
    cells = lines[1].split()
    assert cells[:2] + cells[4:] == ["iou", "0.3214", "0.0000", "0.4374", "0.0000", "1.0000"]
    assert float(cells[2]) < 0.3214 < float(cells[3])
    assert "7 images, 1 missing, 3 failed, 1 predictions without truth" in lines
    assert "prediction without truth: surplus.png" in lines
    names = {"table": "metrics.csv", "summary": "summary.json", "report": "report.html"}
    assert lines[-3:] == [f"{name} {folders[2] / file}" for name, file in names.items()]


def test_cli_json(folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """One line that a machine can read."""
    assert cli.main(flags(folders, "--json")) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["n_failed"] == 3
    assert json.loads(line)["files"]["table"] == str(folders[2] / "metrics.csv")


def test_cli_status_0_where_all_is_there(tmp_path: Path) -> None:
    """However bad the scores are."""
    save_mask(tmp_path / "p" / "a.png", ~LEFT)
    save_mask(tmp_path / "t" / "a.png", LEFT)
    assert cli.main(flags((tmp_path / "p", tmp_path / "t", tmp_path / "o"))) == 0


@pytest.mark.parametrize("side", ["p", "t"])
def test_cli_status_1_where_a_partner_is_missing(tmp_path: Path, side: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On either side, with its name."""
    for name in ("p/a.png", "t/a.png", f"{side}/lonely.png"):
        save_mask(tmp_path / name, LEFT)
    assert cli.main(flags((tmp_path / "p", tmp_path / "t", tmp_path / "o"))) == 1
    expected = {"p": "prediction without truth: lonely.png", "t": "missing: lonely: no prediction of this name"}
    assert expected[side] in capsys.readouterr().out.splitlines()


def test_no_name_matches(tmp_path: Path) -> None:
    """Everything is missing, and everything is left over."""
    save_mask(tmp_path / "p" / "a.png", LEFT)
    save_mask(tmp_path / "t" / "b.png", LEFT)
    summary = evaluate_folders(tmp_path / "p", tmp_path / "t", tmp_path / "o")
    assert (summary.n_missing, summary.unmatched_predictions, summary.exit_code) == (1, ("a.png",), 1)
    assert summary.rows[0].value("iou") == 0


def run_output(folder: Path, judged: dict[str, tuple[float | None, str, bool]]) -> Path:
    """A folder as `gpoa run` leaves it: masks and prompt files with (confidence, status, doubtful)."""
    prompts = PointPrompts(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    for stem, (confidence, status, doubtful) in judged.items():
        save_mask(folder / "masks" / f"{stem}.png", LEFT)
        provenance = {"doubtful": doubtful}
        judged_so = {"confidence": confidence, "status": status, "provenance": provenance}
        record = PromptRecord(f"{stem}.jpg", (3, 4), prompts, **judged_so)
        write_prompts(folder / "optimized_prompts" / f"{stem}.json", record)
    return folder


JUDGED = {"a": (0.75, "ok", False), "b": (0.25, "ok", True), "c": (0.0, "absent", False), "d": (None, "ok", False)}


@pytest.mark.parametrize("inner", ["", "masks"])
def test_confidence_of_a_run(tmp_path: Path, inner: str) -> None:
    """From the prompt files beside masks/, whichever of the two folders is named; a damaged one tells nothing."""
    run = run_output(tmp_path / "run", JUDGED | {"e": (1.0, "ok", False)})
    (run / "optimized_prompts" / "e.json").write_text("{")
    for stem in "abcde":
        save_mask(tmp_path / "t" / f"{stem}.png", LEFT)
    summary = evaluate_folders(run / inner, tmp_path / "t", tmp_path / "o")
    assert [row.confidence for row in summary.rows] == [0.75, 0.25, 0.0, None, None]
    assert [row.found for row in summary.rows] == ["ok", "doubtful", "absent", "ok", ""]
    cells = [row["confidence"] for row in table_of(tmp_path / "o").values()]
    assert cells == ["0.750000", "0.250000", "0.000000", "", ""]
    content = summary.to_dict()
    assert (content["confidence"]["mean"], content["n_absent"], content["n_doubtful"]) == (pytest.approx(1 / 3), 1, 1)
    assert summary.rows[0].truth == tmp_path / "t" / "a.png"
    assert summary.rows[0].prediction == run / "masks" / "a.png"


def test_without_ground_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, areas and confidences, no score, exit status 0."""
    run = run_output(tmp_path / "run", JUDGED)
    assert cli.main(["--predictions", str(run), "--output", str(tmp_path / "o")]) == 0
    content = json.loads((tmp_path / "o" / "summary.json").read_text(encoding="utf-8"))
    assert content["n_images"] == 4 and "iou" not in content and "missing" not in content
    assert content["images"][1] == {"image": "b", "area": 6, "confidence": 0.25, "found": "doubtful"}
    rows = table_of(tmp_path / "o")
    assert set(rows["a"]) == {"image", "status", "area", "confidence", "found", "message"}
    assert [row["status"] for row in rows.values()] == ["unscored"] * 4
    lines = capsys.readouterr().out.splitlines()
    assert "4 predictions, 0 failed; no ground truth, so no scores" in lines
    assert lines[1].split()[:2] == ["confidence", "0.3333"]
    assert not any("without truth" in line for line in lines)
    (run / "masks" / "c.png").write_bytes(b"broken")
    assert cli.main(["--predictions", str(run), "--output", str(tmp_path / "o")]) == 1


def test_without_ground_truth_and_without_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only areas are known; without a prediction there is nothing to say."""
    save_mask(tmp_path / "p" / "a.png", LEFT)
    assert cli.main(["--predictions", str(tmp_path / "p"), "--output", str(tmp_path / "o")]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("1 predictions")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in this folder"):
        evaluate_folders(tmp_path / "empty", None, tmp_path / "o")


def save_labels(path: Path, rows: Sequence[Sequence[int]]) -> None:
    """An 8-bit picture of these numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(rows, np.uint8)).save(path)


@pytest.fixture
def objects(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two true objects that touch, found as one; and one object of two parts, found whole."""
    save_labels(tmp_path / "t" / "a.png", [[1, 1, 1, 2, 0]])
    save_labels(tmp_path / "t" / "b.png", [[3, 0, 3, 0, 0]])
    save_mask(tmp_path / "p" / "a.png", np.array([[1, 1, 1, 1, 0]], bool))
    save_mask(tmp_path / "p" / "b.png", np.array([[1, 0, 1, 0, 0]], bool))
    return tmp_path / "p", tmp_path / "t", tmp_path / "o"


def test_label_images_are_noted(objects: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """They are read as foreground and background, and a line says so."""
    assert cli.main(flags(objects)) == 0
    line = "1 of 2 true masks hold more than one label and are read as foreground/background; "
    out = capsys.readouterr().out.splitlines()
    assert line + "--instances scores them as instances" in out
    assert table_of(objects[2])["a"]["iou"] == "1.000000"
    assert "pq" not in table_of(objects[2])["a"]


def test_instances_of_label_images(objects: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The truth's numbers; the binary predictions' connected components."""
    assert cli.main(flags(objects, "--instances")) == 0
    out = capsys.readouterr().out
    assert "predicted from components, true from labels" in out and "--instances scores" not in out
    rows = table_of(objects[2])
    # a: IoU 3/4 with one of two. b: one true object of two parts, two predicted ones of IoU 1/2 each.
    assert [rows["a"][name] for name in ("pq", "sq", "rq")] == ["0.500000", "0.750000", "0.666667"]
    assert [rows["b"][name] for name in ("pq", "detection_accuracy_50")] == ["0.000000", "0.500000"]
    content = json.loads((objects[2] / "summary.json").read_text(encoding="utf-8"))["instances"]
    assert (content["n_predicted"], content["n_true"], content["matched"]) == (3, 3, 1)
    assert content["pooled"]["pq"] == pytest.approx(0.75 / 3)
    assert content["per_image"]["pq"]["mean"] == pytest.approx(0.25)


def test_instances_without_numbers(tmp_path: Path) -> None:
    """Binary masks on both sides: connected components; a missing prediction misses every object."""
    save_mask(tmp_path / "p" / "a.png", np.array([[1, 1, 0, 0, 1]], bool))
    for stem in "ab":
        save_mask(tmp_path / "t" / f"{stem}.png", np.array([[1, 1, 0, 1, 0]], bool))
    summary = evaluate_folders(tmp_path / "p", tmp_path / "t", tmp_path / "o", instances=True)
    assert summary.instances_from == ("components", "components")
    assert [(r.instances.n_predicted, r.instances.n_true, r.instances.matched) for r in summary.rows] == [
        (2, 2, 1),
        (0, 2, 0),
    ]


def test_instances_from_coco(tmp_path: Path) -> None:
    """Overlapping objects, a crowd region whose predictions are not blamed, an image without annotation."""

    def segmentation(*pixels: int) -> dict:
        counts, last = [], 0
        for pixel in pixels:  # one row: column by column is pixel by pixel
            counts += [pixel - last, 1]
            last = pixel + 1
        return {"size": [1, 8], "counts": [*counts, 8 - last]}

    images = [{"id": n, "file_name": f"train/{name}.jpg", "height": 1, "width": 8} for n, name in ((4, "a"), (7, "b"))]
    annotations = [
        {"image_id": 4, "segmentation": segmentation(0, 1), "iscrowd": 0},
        {"image_id": 4, "segmentation": segmentation(1, 2), "iscrowd": 0},
        {"image_id": 4, "segmentation": segmentation(5, 6, 7), "iscrowd": 1},
    ]
    (tmp_path / "truth.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    save_mask(tmp_path / "p" / "a.png", np.array([[1, 1, 0, 0, 1, 1, 0, 1]], bool))
    save_mask(tmp_path / "p" / "b.png", np.zeros((1, 8), bool))
    summary = evaluate_folders(tmp_path / "p", tmp_path / "truth.json", tmp_path / "o", instances=True)
    first, second = summary.rows
    assert (first.image, first.value("iou"), first.n_labels) == ("a", 4 / 7, 2)
    # Of the three predicted, the last lies in the crowd region; the second does so by half only, and counts.
    assert (first.instances.n_predicted, first.instances.n_true, first.instances.matched) == (2, 2, 1)
    assert second.value("iou") == 1 and second.instances.pq == 1


def test_instances_need_truth(tmp_path: Path) -> None:
    """One line that names the flag."""
    with pytest.raises(ConfigError, match="--ground-truth"):
        cli.main(["--predictions", str(tmp_path), "--output", str(tmp_path / "o"), "--instances"])
    with pytest.raises(ValueError, match="ground_truth"):
        evaluate_folders(tmp_path, None, tmp_path / "o", instances=True)


def test_one_image_has_no_interval(tmp_path: Path) -> None:
    """Of a single value nothing is known about the spread; distances of an unreadable truth have no statistics."""
    save_mask(tmp_path / "p" / "a.png", LEFT)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.png").write_bytes(b"broken")
    content = evaluate_folders(tmp_path / "p", tmp_path / "t", tmp_path / "o").to_dict()
    assert (content["iou"]["mean"], content["iou"]["mean_low"]) == (0, None)
    assert (content["hd95"]["mean"], content["hd95"]["n"]) == (None, 0)
    assert json.dumps(content, allow_nan=False)


def test_missing_is_as_bad_as_empty(tmp_path: Path) -> None:
    """To leave an image out pays no better than to say that nothing is there."""
    save_mask(tmp_path / "p" / "a.png", NONE)
    for stem in "ab":
        save_mask(tmp_path / "t" / f"{stem}.png", LEFT)
    empty, missing = evaluate_folders(tmp_path / "p", tmp_path / "t", tmp_path / "o").rows
    names = ("iou", "dice", "boundary_iou", "hd95", "assd", "precision", "recall")
    assert [empty.value(name) for name in names] == [missing.value(name) for name in names]
    assert missing.value("assd") == math.hypot(3, 4)


def test_cli_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The examples are shown."""
    with pytest.raises(SystemExit) as info:
        cli.main(["--help"])
    assert info.value.code == 0
    assert "gpoa evaluate --predictions out/masks" in capsys.readouterr().out
