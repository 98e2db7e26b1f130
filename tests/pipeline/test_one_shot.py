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


def test_points_stand_for_the_mask(segmenter: OneShotSegmenter) -> None:
    reference = next((DATA / "reference_image").iterdir())
    segmenter.fit(reference, points=[(467, 147), (134, 158)])
    ((image, mask),) = segmenter.pipeline.shots
    assert mask.shape == image.shape[:2] and mask[147, 467] and mask[158, 134] and not mask[10, 10]


def test_a_mask_or_points_but_not_both(segmenter: OneShotSegmenter) -> None:
    reference, mask = (next((DATA / name).iterdir()) for name in ("reference_image", "reference_mask"))
    with pytest.raises(DataError, match="either masks, or points or a box"):
        segmenter.fit(reference)
    with pytest.raises(DataError, match="either masks, or points or a box"):
        segmenter.fit(reference, mask, points=(467, 147))
    with pytest.raises(DataError, match="for one reference image, but 2 are given"):
        segmenter.fit([reference, reference], points=(467, 147))
