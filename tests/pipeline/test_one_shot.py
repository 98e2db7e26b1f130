"""The facade: the same masks from Python as from its pipeline, folders included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gpoa.pipeline.image
from gpoa import OneShotSegmenter
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError
from tests.fake_backbones import FakeBackbones

DATA = Path(__file__).resolve().parents[2] / "data" / "coins"


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> OneShotSegmenter:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    return OneShotSegmenter()


def test_fit_predict_and_folder_agree(segmenter: OneShotSegmenter, tmp_path: Path) -> None:
    targets = sorted((DATA / "target_image").iterdir())[:2]
    reference, mask = (next((DATA / name).iterdir()) for name in ("reference_image", "reference_mask"))
    assert segmenter.fit(reference, mask) is segmenter
    report = segmenter.predict_folder(targets, tmp_path / "out")
    assert report.count("ok") == 2 and report.exit_code == 0
    for target in targets:
        written = load_mask(tmp_path / "out" / "masks" / f"{target.stem}.png")
        assert np.array_equal(segmenter.predict(target).mask, written)


def test_a_reference_comes_first(segmenter: OneShotSegmenter) -> None:
    with pytest.raises(DataError, match=r"call fit\(reference, mask\) first"):
        segmenter.predict(next((DATA / "target_image").iterdir()))
