from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa.baselines import classical
from gpoa.baselines.classical import Classical, adaptive, adaptive_masks, canny, canny_masks, otsu, otsu_masks, to_grey
from gpoa.config import GpoaConfig
from gpoa.errors import DataError, GpoaError, MaskError
from tests.fake_backbones import FakeBackbones

MODELS = FakeBackbones(GpoaConfig())
ALL = (otsu, adaptive, canny)


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """[H, W] bool; the centre is (row, column)."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(grey, dtype=np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize(("inside", "outside"), [(200, 50), (50, 200)])  # bright disc, dark disc
def test_otsu_finds_a_disc_exactly_and_learns_its_side(inside: int, outside: int) -> None:
    reference, target = disc((60, 90), (30, 40), 14), disc((80, 50), (50, 20), 9)
    method = otsu(MODELS)
    method.fit(rgb(np.where(reference, inside, outside)), reference)
    np.testing.assert_array_equal(method.predict(rgb(np.where(target, inside, outside))).mask, target)


def ramp_with_discs(sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Illumination from 40 to 215 over the columns, and discs that differ from it by 30: (image, mask)."""
    mask = disc((64, 160), (20, 25), 5) | disc((64, 160), (40, 80), 5) | disc((64, 160), (25, 135), 5)
    ramp = np.broadcast_to(np.linspace(40, 215, 160), (64, 160))
    return rgb(np.rint(ramp + sign * 30 * mask)), mask


@pytest.mark.parametrize("sign", [1, -1])
def test_adaptive_holds_under_an_illumination_ramp_where_otsu_fails(sign: int) -> None:
    image, mask = ramp_with_discs(sign)
    ious = {}
    for build in (otsu, adaptive):
        method = build(MODELS)
        method.fit(image, mask)
        found = method.predict(image).mask
        ious[build.__name__] = (found & mask).sum() / (found | mask).sum()
    assert ious["adaptive"] > 0.9
    assert ious["otsu"] < 0.1


def test_adaptive_masks_by_hand() -> None:
    grey = np.full((41, 41), 100, dtype=np.uint8)
    grey[20, 20], grey[5, 5] = 107, 93
    bright, dark = adaptive_masks(grey)
    assert [tuple(place) for place in np.argwhere(bright)] == [(20, 20)]
    assert [tuple(place) for place in np.argwhere(dark)] == [(5, 5)]
    grey[20, 20], grey[5, 5] = 105, 95  # within the offset
    assert not any(mask.any() for mask in adaptive_masks(grey))


def test_canny_fills_the_inside_of_a_ring() -> None:
    outer, inner = disc((70, 100), (35, 45), 20), disc((70, 100), (35, 45), 16)
    (found,) = canny_masks(np.where(outer & ~inner, 220, 20).astype(np.uint8))
    assert found[inner].all()
    assert (found & outer).sum() / (found | outer).sum() > 0.9
    assert not found[0].any() and not found[:, -1].any()


def test_canny_does_not_fill_a_ring_with_a_gap() -> None:
    grey = np.full((60, 60), 20, dtype=np.uint8)
    grey[15:45, 15:45], grey[19:41, 19:41] = 220, 20
    grey[25:35, 41:] = 20
    (found,) = canny_masks(grey)
    assert not found[30, 30]


def test_canny_thresholds_are_in_grey_levels() -> None:
    # Smoothed with sigma 1, a step of h has a gradient of 4 * 0.68 h: 150 is reached between 45 and 70 levels.
    def edges(step: int) -> bool:
        grey = np.full((30, 30), 50, dtype=np.uint8)
        grey[8:22, 8:22] += step
        return bool(canny_masks(grey)[0].any())

    assert (edges(45), edges(70)) == (False, True)


def test_grey_images_keep_their_values_and_colours_are_weighted() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(to_grey(rgb(values)), values)
    red, green, blue = to_grey(255 * np.eye(3, dtype=np.uint8)[None])[0]
    assert green > red > blue > 0


def test_a_constant_image_is_empty_in_every_reading() -> None:
    grey = np.full((7, 90), 130, dtype=np.uint8)
    masks = (*otsu_masks(grey), *adaptive_masks(grey), *canny_masks(grey))
    assert [mask.any() for mask in masks] == [False] * 5


@settings(deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**32 - 1), st.sampled_from(ALL))
def test_any_size_runs_and_nothing_is_random(height: int, width: int, seed: int, build) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    label = np.zeros((height, width), dtype=bool)
    label[height // 2, width // 2] = True  # one pixel
    masks = []
    for _ in range(2):
        method = build(MODELS, seed)
        method.fit(image, label)
        masks.append(method.predict(image).mask)
    assert masks[0].shape == (height, width) and masks[0].dtype == bool
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("build", ALL)
def test_unusable_masks_and_a_missing_reference_are_refused(build) -> None:
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="call fit"):
        build(MODELS).predict(image)
    for label in (np.zeros((20, 30), bool), np.ones((20, 30), bool), np.ones((30, 20), bool)):
        with pytest.raises(MaskError):
            build(MODELS).fit(image, label)


def test_the_better_reading_is_taken_and_the_first_among_equals() -> None:
    label = np.array([[True, False, False, False]])
    image = np.zeros((1, 4, 3), dtype=np.uint8)
    good, bad = label, ~label
    for readings, expected in (((bad, good), good), ((good, bad), good), ((bad, np.zeros_like(bad)), bad)):
        method = Classical(lambda grey, readings=readings: readings)
        method.fit(image, label)
        np.testing.assert_array_equal(method.predict(image).mask, expected)


def test_missing_scikit_image_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_: object) -> None:
        raise ModuleNotFoundError(f"No module named {name.split('.')[0]!r}")

    monkeypatch.setattr(classical.importlib, "import_module", missing)
    with pytest.raises(GpoaError, match=re.escape("pip install 'gpoa[benchmark]'")) as caught:
        to_grey(np.zeros((2, 2, 3), dtype=np.uint8))
    assert "\n" not in str(caught.value)
