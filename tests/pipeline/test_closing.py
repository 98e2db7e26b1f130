"""What a run writes at its end, and what it says where that fails."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from tests.fake_backbones import FakeBackbones
from tests.red_squares import files, make_folder, run


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of red squares."""
    monkeypatch.setattr("gpoa.pipeline.image.Backbones", FakeBackbones)
    return make_folder(tmp_path)


def _fill_disk(monkeypatch: pytest.MonkeyPatch, name: str, for_ever: bool) -> None:
    """From the file `name` on nothing can be written, or only that file cannot."""
    honest, full = os.replace, []

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == name or (full and for_ever):
            full.append(True)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_a_full_disk_keeps_masks_and_ends_in_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        _fill_disk(patch, "t1.png", for_ever=True)
        assert run(work, "--coco") == 1
    said = capsys.readouterr()
    error = said.err.strip()
    assert error.startswith("failed: t1: ") and "\n" not in error
    assert error.endswith("the disk is full (No space left on device); free some space and run the same command again")
    assert "1 segmented, 1 failed, 1 not reached (the disk is full; run the same command to go on) of 3" in said.out
    assert "  not written either: contact_sheet.jpg, coco.json, run.json\n" in said.out
    assert files(work / "out" / "masks") == ["t0.png"] and not [f for f in files(work / "out") if f.endswith(".tmp")]
    assert run(work) == 0
    assert "2 segmented, 1 already there of 3" in capsys.readouterr().out


def test_a_sheet_that_cannot_be_written_costs_no_run_file(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    _fill_disk(monkeypatch, "contact_sheet.jpg", for_ever=False)
    assert run(work) == 1
    assert "not written: contact_sheet.jpg (" in capsys.readouterr().out
    assert len(json.loads((work / "out" / "run.json").read_text())["images"]) == 3


def test_the_sheet_goes_without_a_picture_that_vanished(work: Path, monkeypatch: pytest.MonkeyPatch):
    import gpoa.pipeline.folder

    honest = gpoa.pipeline.folder.close_run

    def late(output: Path, *rest) -> None:
        (output / "overlays" / "t1.jpg").unlink()
        honest(output, *rest)

    monkeypatch.setattr(gpoa.pipeline.folder, "close_run", late)
    assert run(work) == 0
    assert (work / "out" / "contact_sheet.jpg").is_file()
