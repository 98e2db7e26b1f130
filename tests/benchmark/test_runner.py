"""Rows are right, whole, and never measured twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpoa.benchmark import runner
from gpoa.benchmark.runner import plan_units, read_rows, run_benchmark
from gpoa.config import BenchmarkConfig, GpoaConfig
from gpoa.datasets.classes import load_classes
from gpoa.errors import DataError

CONFIG = BenchmarkConfig(methods=("gpoa-start", "otsu"), references=2, targets=2)


def _run(data: Path, output: Path, config: BenchmarkConfig = CONFIG, gpoa: GpoaConfig | None = None) -> list:
    output.mkdir(exist_ok=True)
    units = plan_units(load_classes(data), config)
    return list(run_benchmark(units, output, gpoa or GpoaConfig(), None, 1))


def test_a_row_for_each_image_and_method(data: Path, tmp_path: Path):
    _run(data, tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "rows.csv")
    assert len(rows) == 2 * 2 * 2 * 2  # classes, references, methods, targets
    assert {row["class"] for row in rows} == {"red", "set/blue"}
    assert {(row["reference"], row["image"]) for row in rows} == {("0", "1"), ("0", "2"), ("2", "0"), ("2", "1")}
    start = [row for row in rows if row["method"] == "gpoa-start"]
    assert all(float(row["iou"]) > 0.5 and row["status"] == "ok" for row in start)
    assert all(float(row["calls"]) == 1 for row in start)
    assert all(float(row["calls"]) == 0 and row["confidence"] == "" for row in rows if row["method"] == "otsu")


def test_seeds_only_where_a_method_draws(data: Path):
    config = replace(CONFIG, methods=("otsu", "gpoa-release"), seeds=(0, 1, 2), references=1)
    units = plan_units(load_classes(data, ["red"]), config)
    assert [(unit.method, unit.seed) for unit in units] == [
        ("otsu", 0),
        ("gpoa-release", 0),
        ("gpoa-release", 1),
        ("gpoa-release", 2),
    ]


def test_a_second_run_measures_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = _run(data, tmp_path / "out")
    table = (tmp_path / "out" / "rows.csv").read_text()
    monkeypatch.setattr(runner, "measure", lambda *_: pytest.fail("measured again"))
    assert _run(data, tmp_path / "out") == first or len(first) == 8
    assert (tmp_path / "out" / "rows.csv").read_text() == table


def test_half_a_unit_is_measured_again(data: Path, tmp_path: Path):
    _run(data, tmp_path / "out")
    path = tmp_path / "out" / "rows.csv"
    whole = read_rows(path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:20])  # the machine stopped while writing
    _run(data, tmp_path / "out")
    again = read_rows(path)
    names = ("class", "reference", "image", "method", "iou")
    assert sorted([row[n] for n in names] for row in again) == sorted([row[n] for n in names] for row in whole)


def test_more_methods_are_added_to_what_is_there(data: Path, tmp_path: Path):
    _run(data, tmp_path / "out", replace(CONFIG, methods=("otsu",)))
    before = read_rows(tmp_path / "out" / "rows.csv")
    _run(data, tmp_path / "out")
    after = read_rows(tmp_path / "out" / "rows.csv")
    assert len(after) == 2 * len(before) and after[: len(before)] == before


def test_one_bad_image_scores_as_an_empty_mask_and_is_tried_again(data: Path, tmp_path: Path):
    broken = data / "red" / "images" / "1.png"
    good = broken.read_bytes()
    broken.write_bytes(b"no picture")
    _run(data, tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "rows.csv")
    failed = [row for row in rows if row["status"] == "failed"]
    assert {(row["class"], row["image"]) for row in failed} == {("red", "1")} and len(rows) == 16
    assert all(float(row["iou"]) == 0 and float(row["hd95"]) > 0 and "1.png" in row["message"] for row in failed)
    broken.write_bytes(good)
    _run(data, tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "rows.csv")
    assert len(rows) == 16 and all(row["status"] != "failed" for row in rows)


def test_a_reference_that_cannot_be_used_fails_its_targets_only(data: Path, tmp_path: Path):
    from PIL import Image

    Image.new("L", (96, 64)).save(data / "red" / "masks" / "0.png")
    _run(data, tmp_path / "out", replace(CONFIG, methods=("gpoa-start",)))
    rows = read_rows(tmp_path / "out" / "rows.csv")
    failed = {(row["class"], row["reference"]) for row in rows if row["status"] == "failed"}
    assert failed == {("red", "0")} and len(rows) == 8


def test_rows_of_other_settings_are_not_mixed(data: Path, tmp_path: Path):
    _run(data, tmp_path / "out")
    other = replace(GpoaConfig(), threshold=replace(GpoaConfig().threshold, otsu_share=0.5))
    with pytest.raises(DataError, match="other settings; take another --output"):
        _run(data, tmp_path / "out", gpoa=other)


def test_a_foreign_table_is_refused(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no table of this version"):
        read_rows(tmp_path / "rows.csv")
    with pytest.raises(DataError, match="run `gpoa benchmark` first"):
        read_rows(tmp_path / "nothing.csv")
