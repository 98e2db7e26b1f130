"""Which images of a folder to label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.config import GpoaConfig
from gpoa.datasets.targets import find_targets
from gpoa.errors import DataError
from gpoa.pipeline.suggesting import suggest, write_sheet
from tests.fake_backbones import FakeBackbones

COLORS = {"a": (200, 20, 20), "b": (205, 25, 20), "c": (198, 22, 25), "d": (20, 20, 220)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three red images and a blue one."""
    for name, color in COLORS.items():
        Image.fromarray(np.full((32, 48, 3), color, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_one_of_the_many_then_the_odd_one(folder: Path) -> None:
    backbones = FakeBackbones(GpoaConfig())
    found = suggest(backbones, find_targets(folder).samples, 2)  # type: ignore[arg-type]
    assert [one.stem in "abc" for one in found.samples] == [True, False]
    assert found.coverage[0] < found.coverage[1] <= 1 and found.seen == 4
    write_sheet(folder / "sheet.jpg", found, backbones)  # type: ignore[arg-type]
    assert Image.open(folder / "sheet.jpg").width > 600


def test_given_images_and_bad_ones(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no")
    backbones = FakeBackbones(GpoaConfig())
    found = suggest(backbones, find_targets(folder).samples, 1, [folder / "a.png"])  # type: ignore[arg-type]
    assert [one.stem for one in found.samples] == ["d"] and found.failed[0].startswith("bad: ")
    for name in COLORS:
        (folder / f"{name}.png").unlink()
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        suggest(backbones, find_targets(folder).samples)  # type: ignore[arg-type]
