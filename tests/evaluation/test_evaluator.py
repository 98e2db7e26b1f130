"""Folders of predictions against folders of truths, and the verb `gpoa evaluate`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gpoa.cli import evaluate as cli
from gpoa.datasets.image_io import save_mask
from gpoa.errors import DataError
from gpoa.evaluation.evaluator import evaluate_folders

LEFT = np.array([[1, 1, 0, 0]] * 3, dtype=bool)
TOP = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
NONE = np.zeros((3, 4), dtype=bool)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Predictions, truths and output with one image of every kind."""
    predictions, truths = tmp_path / "predictions", tmp_path / "truth"
    for stem, prediction, truth in [("1", LEFT, LEFT), ("2", TOP, LEFT), ("10", NONE, NONE), ("other size", LEFT.T, LEFT)]:
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
    """One for each truth, in natural order, with its status and scores."""
    evaluate_folders(*folders)
    rows = table_of(folders[2])
    assert list(rows) == ["1_mask", "2_mask", "10_mask", "bad prediction", "bad truth", "missing", "other size_mask"]
    assert [row["status"] for row in rows.values()] == ["ok", "ok", "ok", "failed", "failed", "missing", "failed"]
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
    assert "3x4 but its image is 4x3" in rows["other size_mask"]["message"]


def test_summary(folders: tuple[Path, Path, Path]) -> None:
    """What failed or is missing counts 0 in every mean."""
    summary = evaluate_folders(*folders)
    content = json.loads((folders[2] / "summary.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(summary.to_dict()))
    values = np.array([1, 0.25, 1, 0, 0, 0, 0])
    expected = {"mean": values.mean(), "median": 0, "std": values.std(), "min": 0, "max": 1}
    assert content["iou"] == pytest.approx(expected)
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
    assert lines[0].split() == ["mean", "median", "std", "min", "max"]
    assert lines[1].split() == ["iou", "0.3214", "0.0000", "0.4374", "0.0000", "1.0000"]
    assert "7 images, 1 missing, 3 failed" in lines
    assert "prediction without truth: surplus.png" in lines
    assert lines[-2:] == [f"table {folders[2] / 'metrics.csv'}", f"summary {folders[2] / 'summary.json'}"]


def test_cli_json(folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """One line that a machine can read."""
    assert cli.main(flags(folders, "--json")) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["n_failed"] == 3
    assert json.loads(line)["files"]["table"] == str(folders[2] / "metrics.csv")


def test_cli_status_0_where_all_is_there(tmp_path: Path) -> None:
    """A surplus prediction is no failure."""
    for name in ("p/a.png", "p/b.png", "t/a.png"):
        save_mask(tmp_path / name, LEFT)
    assert cli.main(flags((tmp_path / "p", tmp_path / "t", tmp_path / "o"))) == 0


def test_cli_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The examples are shown."""
    with pytest.raises(SystemExit) as info:
        cli.main(["--help"])
    assert info.value.code == 0
    assert "gpoa evaluate --predictions out/masks" in capsys.readouterr().out
