"""Literal non-square cases and properties of gpoa.geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa import geometry
from gpoa.types import PatchFeatures

SIDES = st.integers(1, 5000)
GRIDS = st.tuples(st.integers(1, 50), st.integers(1, 50))


def features_of(grid_size: tuple[int, int], patch_size: int, original_size: tuple[int, int]) -> PatchFeatures:
    """Features without tokens: only the frames matter here."""
    input_size = (grid_size[0] * patch_size, grid_size[1] * patch_size)
    return PatchFeatures(np.zeros((grid_size[0] * grid_size[1], 0)), grid_size, patch_size, input_size, original_size)


def test_patch_centers_are_row_major_xy() -> None:
    """2 rows, 3 columns of 14 pixels: centres at 6.5, 20.5, 34.5."""
    expected = [[6.5, 6.5], [20.5, 6.5], [34.5, 6.5], [6.5, 20.5], [20.5, 20.5], [34.5, 20.5]]
    assert geometry.patch_centers((2, 3), 14).tolist() == expected


@pytest.mark.parametrize("patch_size", [1, 2, 14, 16])
def test_patch_center_formula(patch_size: int) -> None:
    """Column j is centred at p*j + (p-1)/2."""
    centers = geometry.patch_centers((1, 4), patch_size)
    assert centers[:, 0].tolist() == [patch_size * j + (patch_size - 1) / 2 for j in range(4)]
    assert centers[:, 1].tolist() == [(patch_size - 1) / 2] * 4


@pytest.mark.parametrize(
    ("xy", "from_size", "to_size", "expected"),
    [
        ([[0, 0]], (2, 4), (2, 4), [[0, 0]]),  # nothing changes
        ([[0, 0]], (2, 4), (4, 16), [[1.5, 0.5]]),  # x by 4: (0.5 * 4) - 0.5; y by 2
        ([[3, 1]], (2, 4), (4, 16), [[13.5, 2.5]]),  # the last pixel's centre, as far from the edge as the first
        ([[1.5, 0.5]], (4, 16), (2, 4), [[0, 0]]),  # and back
        ([[-0.5, -0.5], [3.5, 1.5]], (2, 4), (7, 9), [[-0.5, -0.5], [8.5, 6.5]]),  # outer edges stay outer edges
    ],
)
def test_rescale_points(xy: list, from_size: tuple, to_size: tuple, expected: list) -> None:
    """Outer edges coincide."""
    assert geometry.rescale_points(np.array(xy), from_size, to_size).tolist() == expected


@settings(deadline=None)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.floats(-10, 5000), st.floats(-10, 5000))
def test_rescale_round_trip(a: tuple[int, int], b: tuple[int, int], x: float, y: float) -> None:
    """There and back is the identity."""
    there = geometry.rescale_points(np.array([[x, y]]), a, b)
    assert np.allclose(geometry.rescale_points(there, b, a), [[x, y]], atol=1e-6)


def test_patch_centers_original_literal() -> None:
    """2 x 2 patches on a 10 (rows) x 40 (columns) image: quarters of each side, less half a pixel."""
    features = features_of((2, 2), 14, (10, 40))
    assert geometry.patch_centers_original(features).tolist() == [[9.5, 2], [29.5, 2], [9.5, 7], [29.5, 7]]


def test_patch_centers_original_stay_inside_tiny_image() -> None:
    """An image smaller than the grid: clipped to its pixels."""
    xy = geometry.patch_centers_original(features_of((4, 4), 14, (1, 2)))
    assert xy[:, 0].min() == 0 and xy[:, 0].max() == 1 and (xy[:, 1] == 0).all()


@settings(deadline=None)
@given(GRIDS, st.integers(1, 16), st.integers(0, 4000), st.integers(0, 4000))
def test_patch_index_of_centers_is_identity(
    grid: tuple[int, int], patch: int, more_rows: int, more_columns: int
) -> None:
    """Every patch centre lies in its own patch, whatever the aspect ratio."""
    size = (grid[0] + more_rows, grid[1] + more_columns)
    xy = geometry.patch_centers_original(features_of(grid, patch, size))
    assert geometry.patch_index_of(xy, grid, size).tolist() == list(range(grid[0] * grid[1]))


def test_patch_index_of_literal() -> None:
    """Rows of 5 pixels, columns of 10; points outside go to the nearest patch."""
    xy = np.array([[0, 0], [9.4, 0], [9.6, 0], [39, 9], [-50, 4.6], [1000, -3]])
    assert geometry.patch_index_of(xy, (2, 4), (10, 40)).tolist() == [0, 0, 1, 7, 4, 3]


@pytest.mark.parametrize(
    ("mask", "grid", "expected"),
    [
        ([[1, 1, 0, 0], [1, 0, 0, 1]], (1, 2), [[0.75, 0.25]]),  # 2 x 2 pixels a patch
        ([[1, 1, 1, 0, 0]], (1, 2), [[1.0, 0.2]]),  # 2.5 pixels a patch: the middle pixel is shared
        ([[1], [0], [0]], (2, 1), [[2 / 3], [0.0]]),  # 1.5 pixels a patch
        ([[1, 0]], (2, 4), [[1, 1, 0, 0], [1, 1, 0, 0]]),  # patches smaller than pixels
        ([[1, 0, 0]], (1, 2), [[2 / 3, 0.0]]),
        ([[1]], (3, 2), [[1, 1], [1, 1], [1, 1]]),
    ],
)
def test_mask_to_patches_is_exact(mask: list, grid: tuple, expected: list) -> None:
    """The share of each patch that the mask covers, to the fraction of a pixel."""
    patches = geometry.mask_to_patches(np.array(mask, dtype=bool), grid)
    assert patches.dtype == np.float32 and patches.shape == grid
    assert np.allclose(patches, expected, atol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.integers(0, 99))
def test_mask_to_patches_keeps_the_area(rows: int, columns: int, grid: tuple[int, int], seed: int) -> None:
    """All patches have the same size, so the mean share is the mask's share."""
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.4
    patches = geometry.mask_to_patches(mask, grid)
    assert patches.min() >= 0 and patches.max() <= 1
    assert patches.mean() == pytest.approx(mask.mean(), abs=1e-5)


def test_resample_grows_linearly_and_shrinks_by_area() -> None:
    """Literal rows."""
    assert np.allclose(geometry.resample(np.array([[0.0, 1.0]]), (1, 4)), [[0, 0.25, 0.75, 1]])
    assert np.allclose(geometry.resample(np.array([[0.0, 1.0, 2.0]]), (1, 2)), [[1 / 3, 5 / 3]])
    assert np.allclose(geometry.resample(np.array([[0.0, 1.0, 2.0]]), (1, 1), (1, 1.5)), [[1 / 3]])


@pytest.mark.parametrize(
    ("original", "expected"),
    [((480, 640), (768, 1024)), ((640, 480), (1024, 768)), ((1, 5000), (1, 1024)), ((1000, 333), (1024, 341))],
)
def test_sam_input_size(original: tuple, expected: tuple) -> None:
    """Longest side 1024; never 0 on the short one, where segment_anything would fail."""
    assert geometry.sam_input_size(original) == expected


@settings(deadline=None)  # the first example imports torch
@given(st.integers(32, 6000), st.integers(32, 6000))
def test_sam_frame_equals_segment_anything(height: int, width: int) -> None:
    """Size and points as ResizeLongestSide(1024) makes them."""
    transforms = pytest.importorskip("segment_anything.utils.transforms")
    transform = transforms.ResizeLongestSide(1024)
    size = (height, width)
    assert geometry.sam_input_size(size) == transform.get_preprocess_shape(height, width, 1024)
    xy = np.array([[0.0, 0.0], [width - 1, height - 1], [width / 3, height / 7]])
    assert np.allclose(geometry.to_sam_points(xy, size), transform.apply_coords(xy, size), rtol=1e-6)


def test_to_sam_points_accepts_none() -> None:
    """No points: shape [0, 2]."""
    assert geometry.to_sam_points(np.zeros((0, 2)), (3, 4)).shape == (0, 2)


@pytest.mark.parametrize(
    ("original", "size", "extent"),
    [
        ((480, 640), (192, 256), (192.0, 256.0)),
        ((377, 500), (193, 256), (193.0, 256.0)),  # 772.1 -> 772
        ((1000, 333), (256, 86), (256.0, 85.25)),  # 341 columns: the last low-resolution one is a quarter full
    ],
)
def test_low_res_size(original: tuple, size: tuple, extent: tuple) -> None:
    """A quarter of SAM's frame."""
    assert geometry.low_res_size(original) == size
    assert geometry.low_res_extent(original) == extent


def test_to_low_res_frame_pads_right_and_bottom() -> None:
    """A map twice as wide as high fills the upper half."""
    frame = geometry.to_low_res_frame(np.array([[1.0, 2.0]]), (100, 200), padding=-7)
    assert frame.shape == (256, 256) and frame.dtype == np.float32
    assert (frame[128:] == -7).all()
    assert (frame[:128, :64] == 1).all() and (frame[:128, 192:] == 2).all()


def test_from_low_res_frame_cuts_the_padding_off() -> None:
    """The upper left quarter of the image is the frame's, whatever stands in the padding."""
    frame = np.full((256, 256), 99.0, dtype=np.float32)
    frame[:128] = 0
    frame[:64, :128] = 1
    assert geometry.from_low_res_frame(frame, (100, 200), (2, 2)).tolist() == [[1, 0], [0, 0]]


@settings(deadline=None)
@given(st.integers(80, 3000), st.integers(80, 3000))
def test_low_res_frame_keeps_positions(height: int, width: int) -> None:
    """A linear ramp over the image reads the same after both maps: nothing is shifted or stretched."""
    size = (height, width)
    ramp = (np.arange(48) + 0.5)[:, None] / 48 + (np.arange(48) + 0.5)[None] / 48
    there = geometry.to_low_res_frame(ramp, size, padding=-50.0)
    back = geometry.from_low_res_frame(there, size, (4, 4))
    expected = (np.arange(4) + 0.5)[:, None] / 4 + (np.arange(4) + 0.5)[None] / 4
    # Beyond the image's last pixel centre the edge is continued, so the outermost rows are flat over half a cell; a
    # frame of few rows (a very long image) makes that worth more.
    short = min(geometry.low_res_extent(size))
    assert np.abs(back - expected).max() < 0.02 + 0.5 / short


def test_from_low_res_frame_agrees_with_segment_anything() -> None:
    """341 columns of the frame are 85.25 low-resolution ones: cut as exactly as SAM's postprocess_masks does."""
    torch = pytest.importorskip("torch")
    original = (500, 166)
    frame = np.tile(np.arange(256, dtype=np.float32), (256, 1))
    size = geometry.sam_input_size(original)
    square = torch.nn.functional.interpolate(torch.from_numpy(frame)[None, None], (1024, 1024), mode="bilinear")
    inside = square[..., : size[0], : size[1]]
    sam = torch.nn.functional.interpolate(inside, original, mode="bilinear", align_corners=False)[0, 0].numpy()
    ours = geometry.from_low_res_frame(frame, original, original)
    assert np.abs(ours - sam)[:, :-1].max() < 1e-3
    assert np.abs(ours - sam)[:, -1].max() < 0.3  # at the cut, SAM still sees what lies in the padding
