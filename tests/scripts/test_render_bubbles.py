"""The renderer of the shipped bubbles: repeatable, and exact in its masks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from render_bubbles import Bubble, bubble_mask, parse_size, render_scene  # noqa: E402

SIZE = (240, 320)


def test_same_seed_same_scene_other_seed_other_scene():
    first, again, other = (render_scene(np.random.default_rng(seed), SIZE, (2, 3)) for seed in (1, 1, 2))
    assert np.array_equal(first.image, again.image) and np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)
    assert first.image.shape == first.mask.shape == SIZE
    assert first.mask.dtype == bool and first.mask.any() and not first.mask.all()
    assert first.image.dtype == np.uint8 and 2 <= len(first.bubbles) <= 3


@pytest.mark.parametrize("a, b, angle", [(40, 40, 0.0), (60, 45, 0.4), (12.5, 10, -1.0)])
def test_mask_has_the_area_of_the_ellipse(a: float, b: float, angle: float):
    mask = bubble_mask([Bubble(x=150.3, y=119.8, a=a, b=b, angle=angle, blur=1, depth=0.8)], SIZE)
    assert mask.sum() == pytest.approx(np.pi * a * b, rel=0.01)
    rows, columns = np.nonzero(mask)
    assert rows.mean() == pytest.approx(119.8, abs=0.2) and columns.mean() == pytest.approx(150.3, abs=0.2)


def test_overlapping_bubbles_count_once():
    one = Bubble(x=100, y=100, a=30, b=30, angle=0, blur=1, depth=0.8)
    assert bubble_mask([one, one], SIZE).sum() == bubble_mask([one], SIZE).sum()


@pytest.mark.parametrize("text", ["64", "abc", "0x64", "64x", "64x-1", "1x2x3"])
def test_a_size_that_is_none_is_refused(text: str):
    assert parse_size("480x640") == (480, 640)
    with pytest.raises(argparse.ArgumentTypeError, match="expected HxW"):
        parse_size(text)


@pytest.mark.parametrize("name", ["bubbles", "coins"])
def test_shipped_sets_are_complete(name: str):
    from PIL import Image

    folder = ROOT / "data" / name
    for kind, least in (("reference", 1), ("target", 7)):
        images = sorted(path.name for path in (folder / f"{kind}_image").iterdir())
        assert images == sorted(path.name for path in (folder / f"{kind}_mask").iterdir())
        assert len(images) >= least
        for image in images:
            mask = np.asarray(Image.open(folder / f"{kind}_mask" / image))
            assert set(np.unique(mask)) == {0, 255}
            assert Image.open(folder / f"{kind}_image" / image).size == mask.shape[::-1]
