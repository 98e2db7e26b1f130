"""`gpoa run --instances` on a folder; models are stand-ins, the prior is the one that ships."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

from gpoa.cli.main import main
from gpoa.errors import DiskFullError
from gpoa.instances.store import WindowStore
from gpoa.pipeline.instances import InstanceSegmenter
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
    (tmp_path / "out" / "labels_tiff" / "t1.tif").unlink()
    capsys.readouterr()
    assert main(["run", *flags]) == 0
    assert "1 segmented, 1 already there" in capsys.readouterr().out


def test_an_interrupted_image_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk is full in the middle of an image of several windows; the next run does not do its windows again."""
    flags = [*save_discs(tmp_path, targets=1), "--objects.tile", "100"]
    seen, honest_write = [], WindowStore.write

    def full(self: WindowStore, number: int, found, calls: int) -> None:
        if number == 2:
            raise DiskFullError("no space is left")
        honest_write(self, number, found, calls)

    honest = InstanceSegmenter.in_tile
    monkeypatch.setattr(InstanceSegmenter, "in_tile", lambda self, *rest: seen.append(1) or honest(self, *rest))
    monkeypatch.setattr(WindowStore, "write", full)
    assert main(["run", *flags]) == 1
    first = len(seen)
    monkeypatch.setattr(WindowStore, "write", honest_write)
    assert main(["run", *flags]) == 0
    total = json.loads((tmp_path / "out" / "objects" / "t0.json").read_text())["tiles"]
    assert first == 2 and total > 2 and len(seen) - first == total - 1
    assert not list((tmp_path / "out" / "objects").glob("*.windows"))
    labels = np.asarray(Image.open(tmp_path / "out" / "labels" / "t0.png"))
    assert labels.max() == 6  # none twice, though windows overlap


def test_a_target_without_an_object(tmp_path: Path, capsys: pytest.CaptureFixture):
    flags = save_discs(tmp_path, targets=1)
    Image.fromarray(np.full((90, 90, 3), (15, 175, 12), dtype=np.uint8)).save(tmp_path / "images" / "none.png")
    (tmp_path / "images" / "bad.png").write_bytes(b"no picture")
    assert main(["run", *flags]) == 1
    out = tmp_path / "out"
    assert "1 segmented, 1 without the object, 1 failed" in capsys.readouterr().out
    assert not np.asarray(Image.open(out / "labels" / "none.png")).any()
    counts = {line.split(",")[0]: line.split(",")[1] for line in (out / "counts.csv").read_text().splitlines()}
    assert (counts["none"], counts["t0"]) == ("0", "6")
    assert "6 objects in 2 images" in (out / "report.html").read_text()


def test_pages_of_a_stack_are_images(tmp_path: Path):
    flags = save_discs(tmp_path, targets=0)
    stack = np.stack([discs(1, 4)[0], discs(2, 5)[0]])
    imwrite(tmp_path / "images" / "s.tif", stack, photometric="rgb", metadata={"axes": "ZYXS"})
    assert main(["run", *flags]) == 0
    counts = [np.asarray(Image.open(path)).max() for path in sorted((tmp_path / "out" / "labels").glob("*.png"))]
    assert counts == [4, 5]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--pixel-size", "wide"], "--pixel-size wide"),
        (["--processes", "2"], "one process"),
        (["--trace"], "no --trace"),
        (["--budget", "4"], "--budget"),
        (["--matching.method", "ridge"], "with the prior only"),
        (["--objects.tile", "3"], "at least 64"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture, extra: list[str], said: str):
    assert main(["run", *save_discs(tmp_path), *extra]) == 2
    assert said in capsys.readouterr().err


def test_a_run_without_suggests_it_and_does_not_do_it(tmp_path: Path, capsys: pytest.CaptureFixture):
    flags = [one for one in save_discs(tmp_path, targets=0) if one != "--instances"]
    Image.fromarray(discs(3, 16, (200, 200), 12)[0]).save(tmp_path / "images" / "many.png")
    assert main(["run", *flags, "--strategy", "prior"]) == 0
    assert "--instances tells objects apart" in capsys.readouterr().out
    assert not (tmp_path / "out" / "labels").exists()
