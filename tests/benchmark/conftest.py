"""Classes of coloured squares and stand-ins for the models."""

from __future__ import annotations

from pathlib import Path

import pytest

import gpoa.benchmark.contenders
import gpoa.pipeline.image
from gpoa.benchmark import runner
from tests.coloured_squares import write_squares
from tests.fake_backbones import FakeBackbones


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No real model, except where a test asks for one."""
    runner._contender.cache_clear()
    if "weights" not in request.keywords:
        monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
        monkeypatch.setattr(gpoa.benchmark.contenders, "Backbones", FakeBackbones)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of four images of 64 x 96: a coloured square somewhere on a grey ground."""
    return write_squares(tmp_path / "data", "red", "set/blue")
