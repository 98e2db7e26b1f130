"""Classes of coloured squares and stand-ins for the models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpoa.benchmark.contenders
import gpoa.pipeline
from gpoa.benchmark import runner
from tests.fake_backbones import FakeBackbones


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No real model, except where a test asks for one."""
    runner._contender.cache_clear()
    if "weights" not in request.keywords:
        monkeypatch.setattr(gpoa.pipeline, "Backbones", FakeBackbones)
        monkeypatch.setattr(gpoa.benchmark.contenders, "Backbones", FakeBackbones)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of four images of 64 x 96: a coloured square somewhere on a grey ground."""
    rng = np.random.default_rng(0)
    for name, colour in (("red", (200, 30, 30)), ("set/blue", (30, 30, 200))):
        for part in ("images", "masks"):
            (tmp_path / "data" / name / part).mkdir(parents=True)
        for index in range(4):
            image = rng.integers(110, 140, (64, 96, 3), dtype=np.uint8)
            mask = np.zeros((64, 96), dtype=np.uint8)
            y, x = rng.integers(4, 30, 2)
            image[y : y + 28, x : x + 28], mask[y : y + 28, x : x + 28] = colour, 255
            Image.fromarray(image).save(tmp_path / "data" / name / "images" / f"{index}.png")
            Image.fromarray(mask).save(tmp_path / "data" / name / "masks" / f"{index}.png")
    return tmp_path / "data"
