"""A folder that grows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import gpoa.pipeline.image
from gpoa.config import GpoaConfig, OptimizeConfig
from gpoa.errors import DataError
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.progress import Item, Report
from gpoa.pipeline.watching import Watched, watch
from tests.fake_backbones import FakeBackbones
from tests.red_squares import save_square, square


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> ImagePipeline:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    return ImagePipeline(GpoaConfig(optimize=OptimizeConfig(strategy="none"))).fit(*square(20))


class Line:
    """An inspection line: does one thing at each look, and stops after the last."""

    def __init__(self, *steps: object) -> None:
        self.steps, self.told = list(steps), []  # type: ignore[var-annotated]

    def go_on(self, report: Report) -> bool:
        if not self.steps:
            return False
        step = self.steps.pop(0)
        if callable(step):
            step()
        return True

    def tell(self, item: Item, latency: float) -> None:
        self.told.append((item.stem, item.status, latency))


def _old(path: Path) -> None:
    """As if the file had been written a minute ago."""
    os.utime(path, (time.time() - 60,) * 2)


def test_images_are_segmented_as_they_arrive_and_kept(segmenter: ImagePipeline, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    watched = Watched(folder, out, every=0.01)
    first, second = lambda: save_square(folder / "a.png", 5), lambda: save_square(folder / "b.png", 40)
    line = Line(None, first, None, second, None, None)
    report = watch(segmenter, watched, line.tell, line.go_on)
    assert [(stem, status) for stem, status, _ in line.told] == [("a", "ok"), ("b", "ok")]
    assert all(0 < latency < 60 for _, _, latency in line.told)
    assert report.exit_code == 0 and len(list((out / "masks").iterdir())) == 2
    assert (out / "contact_sheet.jpg").is_file() and (out / "run.json").is_file()
    again = Line(None, None)
    for path in folder.iterdir():
        _old(path)
    watch(segmenter, watched, again.tell, again.go_on)
    assert [(stem, status) for stem, status, _ in again.told] == [("a", "kept"), ("b", "kept")]


def test_a_file_that_is_still_written_waits(segmenter: ImagePipeline, tmp_path: Path) -> None:
    """Half of it is there at two looks, but it changes between them."""
    folder = tmp_path / "in"
    whole = save_square(tmp_path / "whole.png", 5).read_bytes()
    folder.mkdir()
    path = folder / "a.png"
    parts = [whole[:80], whole[:120], whole]
    line = Line(*(lambda part=part: path.write_bytes(part) for part in parts), None)
    watch(segmenter, Watched(folder, tmp_path / "out", every=0.01), line.tell, line.go_on)
    assert [(stem, status) for stem, status, _ in line.told] == [("a", "ok")]


def test_a_bad_image_fails_once_and_again_when_it_is_written_anew(segmenter: ImagePipeline, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "a.png"
    line = Line(lambda: path.write_bytes(b"no picture"), None, None, lambda: save_square(path, 5), None, None)
    report = watch(segmenter, Watched(folder, tmp_path / "out", every=0.01), line.tell, line.go_on)
    assert [(stem, status) for stem, status, _ in line.told] == [("a", "failed"), ("a", "ok")]
    assert report.count("failed") == 0  # what became of it in the end


def test_ctrl_c_ends_the_watch_and_writes_the_record(segmenter: ImagePipeline, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "in"
    _old(save_square(folder / "a.png", 5))
    line = Line(None, interrupt)
    report = watch(segmenter, Watched(folder, tmp_path / "out", every=0.01), line.tell, line.go_on)
    assert [item.stem for item in report.items] == ["a"] and (tmp_path / "out" / "run.json").is_file()


def test_the_reference_is_no_target_and_the_folder_must_be_there(segmenter: ImagePipeline, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name, x in (("ref.png", 20), ("a.png", 5)):
        _old(save_square(folder / name, x))
    line = Line(None)
    watch(segmenter, Watched(folder, tmp_path / "out", examples=[folder / "ref.png"]), line.tell, line.go_on)
    assert [stem for stem, _, _ in line.told] == ["a"]
    with pytest.raises(DataError, match="no such folder; make it first"):
        watch(segmenter, Watched(tmp_path / "nothing", tmp_path / "out"))
