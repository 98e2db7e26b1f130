"""`gpoa benchmark --instances`: every peer runs, rows are kept, numbers are those of the label images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.baselines.many_objects import METHODS
from gpoa.benchmark.instances import load_object_classes, score_objects
from gpoa.cli.main import main
from gpoa.errors import DataError
from gpoa.instances.objects import Objects
from tests.discs import discs
from tests.fake_backbones import FakeBackbones


def make_class(root: Path) -> Path:
    for number in range(2):
        for name, array in zip(("images", "labels"), discs(number), strict=True):
            (root / "discs" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / "discs" / name / f"{number}.png")
    return root


def test_all_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("gpoa.pipeline.image.Backbones", FakeBackbones)
    flags = ["benchmark", "--instances", "--data", str(make_class(tmp_path)), "--output", str(tmp_path / "out")]
    assert main([*flags, "--json"]) == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(METHODS)
    assert all(row["status"] == "ok" and row["true"] == 9 for row in rows.values())
    assert rows["watershed-otsu"]["pq"] > 0.9 and rows["watershed-prior"]["count_error"] < 0.2
    assert (rows["watershed-prior"]["calls"], rows["automatic"]["calls"]) == (0, 1024)
    assert 0 < rows["gpoa"]["calls"] < 20
    before = (tmp_path / "out" / "instances.csv").read_text()
    assert main(flags) == 0  # nothing is measured again
    assert "gpoa minus automatic" in capsys.readouterr().out
    assert (tmp_path / "out" / "instances.csv").read_text() == before


def test_scores_of_a_perfect_answer_and_of_none() -> None:
    truth = discs(0)[1].astype(np.int64)
    count = int(truth.max())
    perfect = score_objects(Objects(truth.astype(np.uint16), np.ones(count, np.float32), np.ones(count, bool)), truth)
    assert (perfect["pq"], perfect["ap_50"], perfect["count_error"], perfect["size_distance"]) == (1, 1, 0, 0)
    none = score_objects(Objects(np.zeros(truth.shape, np.uint16), np.zeros(0, np.float32), np.zeros(0, bool)), truth)
    assert (none["pq"], none["ap_50"], none["count_error"], none["iou"]) == (0, 0, 1, 0)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images/ and labels/"):
        load_object_classes(tmp_path)
