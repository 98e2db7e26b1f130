"""`gpoa export`, and annotation files where `gpoa run` and `gpoa evaluate` take masks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gpoa.pipeline.image
from gpoa.cli.main import main
from tests.datasets.exporters.runs import instances_run
from tests.fake_backbones import FakeBackbones
from tests.red_squares import make_folder, run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    monkeypatch.setenv("GPOA_CACHE", str(tmp_path / "cache"))
    return make_folder(tmp_path)


def test_from_a_run_to_annotations_and_back_as_reference_and_truth(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    """run -> export -> the export is the ground truth of the same run, and the mask of another one."""
    assert run(folder) == 0
    assert main(["export", str(folder / "out"), "--to", "coco", "yolo-seg", "cvat", "label-studio", "imagej-rois"]) == 0
    assert "coco: 3 objects in 3 images" in capsys.readouterr().out
    export = folder / "out" / "export"
    assert (export / "yolo-seg" / "images" / "t0.png").is_symlink()
    truths = ["coco/annotations.json", "cvat/annotations.xml", "label-studio/tasks.json", "yolo-seg"]
    for truth in truths:
        arguments = ["--predictions", str(folder / "out"), "--ground-truth", str(export / truth), "--json"]
        assert main(["evaluate", *arguments, "--output", str(folder / "evaluation")]) == 0
        assert json.loads(capsys.readouterr().out)["iou"]["mean"] == 1
    arguments = ["--reference", str(folder / "images" / "t1.png"), "--targets", str(folder / "images")]
    for mask in ("coco/annotations.json", "imagej-rois/t1.zip"):
        again = [*arguments, "--mask", str(export / mask), "--output", str(folder / "again"), "--strategy", "none"]
        assert main(["run", *again, "--label-name", "object"]) == 0
        assert "objects of the class object count" in capsys.readouterr().out


def test_json_and_output(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = instances_run(tmp_path)
    assert main(["export", str(out), "--to", "csv", "coco", "--output", str(tmp_path / "x"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["csv"]["objects"] == 4 and (tmp_path / "x" / "coco" / "annotations.json").is_file()
    assert main(["export", str(out), "--to", "csv", "--output", str(tmp_path / "y")]) == 0
    assert (tmp_path / "y" / "objects.csv").is_file()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nothing", "--to", "coco"], "nothing: no such folder"),
        (["out", "--to", "shapefile"], "--to shapefile: expected {coco,yolo-seg"),
        (["out", "--to", "coco", "--simplify", "-1"], "--simplify -1.0: 0 or more pixels"),
        (["out"], "--to is missing"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    instances_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["export", *flags]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said


def test_a_damaged_mask_is_named_and_the_status_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = instances_run(tmp_path)
    (out / "labels" / "a.tif").write_bytes(b"")
    assert main(["export", str(out), "--to", "csv"]) == 1
    assert "failed: a:" in capsys.readouterr().err


def test_a_label_name_is_for_annotations(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(folder, "--label-name", "cat") == 2
    assert "--label-name is for annotation files" in capsys.readouterr().err
