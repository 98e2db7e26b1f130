"""`gpoa run --instances` on a folder; models are stand-ins, the prior is the one that ships."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.cli.main import main
from tests.discs import discs, save_discs
from tests.fake_backbones import FakeBackbones


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpoa.pipeline.image.Backbones", FakeBackbones)


def test_every_object_has_a_label_a_row_and_an_annotation(tmp_path: Path, capsys: pytest.CaptureFixture):
    flags = save_discs(tmp_path)
    assert main(["run", *flags, "--coco", "--pixel-size", "0.5um"]) == 0
    out = tmp_path / "out"
    with (out / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    for number in range(2):
        labels = np.asarray(Image.open(out / "labels" / f"t{number}.png"))
        truth = discs(number + 1, 6 + number)[1]
        assert labels.max() == 6 + number == sum(row["image"] == f"t{number}" for row in rows)
        assert ((labels > 0) == (truth > 0)).mean() > 0.95
        assert ((np.asarray(Image.open(out / "masks" / f"t{number}.png")) > 0) == (labels > 0)).all()
    assert float(rows[0]["area_um2"]) == pytest.approx(float(rows[0]["area_px"]) / 4)
    assert len(json.loads((out / "coco.json").read_text())["annotations"]) == len(rows) == 13
    assert "2 segmented" in capsys.readouterr().out


def test_a_second_run_keeps_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture):
    flags = save_discs(tmp_path)
    assert main(["run", *flags]) == 0
    (tmp_path / "out" / "labels" / "t1.tif").unlink()
    capsys.readouterr()
    assert main(["run", *flags]) == 0
    assert "1 segmented, 1 already there" in capsys.readouterr().out
