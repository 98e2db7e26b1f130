"""The only home of patch <-> model-input <-> original <-> SAM-frame maps.

Three frames. *Original*: the user's pixels. *Input*: the image stretched to the feature model's square; the centre of
patch column j lies at p*j + (p-1)/2 there. *SAM frame*: the longest side scaled to 1024 and padded at the right and the
bottom to a square; the decoder's masks and mask prompts are that square at a quarter of the size.

Sizes are (H, W), points are (x, y), integers are pixel centres. Resampling between frames keeps the outer edges of the
images aligned: x' + 0.5 = (x + 0.5) * W' / W.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpoa.types import PatchFeatures, Size

SAM_SIDE = 1024
LOW_RES_SIDE = 256


def patch_centers(grid_size: Size, patch_size: int) -> np.ndarray:
    """Centres of all patches in model-input pixels.

    Args:
        grid_size: (rows, columns).
        patch_size: side of a patch in input pixels.

    Returns:
        [rows * columns, 2] float64 (x, y), row-major.
    """
    rows, columns = grid_size
    y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1)
    return np.stack([x, y], axis=1) * float(patch_size) + (patch_size - 1) / 2


def rescale_points(xy: np.ndarray, from_size: Size, to_size: Size) -> np.ndarray:
    """Maps points between two samplings of the same image whose outer edges coincide.

    Args:
        xy: [N, 2] (x, y) in the frame of size `from_size`.
        from_size: (H, W).
        to_size: (H, W).

    Returns:
        [N, 2] float64 (x, y) in the frame of size `to_size`.
    """
    ratio = np.array([to_size[1] / from_size[1], to_size[0] / from_size[0]])
    return (np.asarray(xy, dtype=np.float64) + 0.5) * ratio - 0.5


def patch_centers_original(features: PatchFeatures) -> np.ndarray:
    """Centres of an image's patches in its original pixels, clipped into the image.

    Returns:
        [P, 2] float32 (x, y).
    """
    xy = rescale_points(
        patch_centers(features.grid_size, features.patch_size), features.input_size, features.original_size
    )
    height, width = features.original_size
    return np.clip(xy, 0, [width - 1, height - 1]).astype(np.float32)


def patch_index_of(xy: np.ndarray, grid_size: Size, original_size: Size) -> np.ndarray:
    """The patch that each point lies in (the grid covers the whole image).

    Args:
        xy: [N, 2] (x, y) in original pixels.
        grid_size: (rows, columns).
        original_size: (H, W).

    Returns:
        [N] int64 row-major patch index; points outside the image go to the nearest patch.
    """
    cell = np.floor(rescale_points(xy, original_size, grid_size) + 0.5).astype(np.int64)
    column = np.clip(cell[:, 0], 0, grid_size[1] - 1)
    row = np.clip(cell[:, 1], 0, grid_size[0] - 1)
    return row * grid_size[1] + column


def resample(values: np.ndarray, size: Size, extent: tuple[float, float] | None = None) -> np.ndarray:
    """Resamples a map to another size: area mean where it shrinks, linear interpolation where it grows.

    Args:
        values: [h, w] real or bool.
        size: (H, W) of the result.
        extent: (rows, columns) of `values`, from its upper left edge, that the result covers, in cells and not
            necessarily whole ones; None is all of it.

    Returns:
        [H, W] float32.
    """
    rows, columns = (float(values.shape[0]), float(values.shape[1])) if extent is None else extent
    if size[0] <= rows and size[1] <= columns:
        return area_mean(values, size, (rows, columns))
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=(0, 0, columns, rows)))


def area_mean(values: np.ndarray, size: Size, extent: tuple[float, float] | None = None) -> np.ndarray:
    """The exact mean of a map over each cell of another grid.

    Pillow's box filter takes or leaves whole pixels, so it is exact only where the sizes divide.

    Args:
        values: [h, w] real or bool, constant over each of its cells.
        size: (H, W) of the result.
        extent: as in `resample`.

    Returns:
        [H, W] float32.
    """
    rows, columns = values.shape if extent is None else extent
    by_row = _area_weights(values.shape[0], size[0], rows) @ np.asarray(values, dtype=np.float32)  # [H, w]
    return np.ascontiguousarray((_area_weights(values.shape[1], size[1], columns) @ by_row.T).T)


def _area_weights(cells: int, parts: int, extent: float) -> Any:
    """Sparse [parts, cells] float32: the share of each cell in each of equal parts of [0, extent]; rows sum to 1."""
    from scipy.sparse import csr_array

    ends = np.arange(parts + 1) * extent / parts
    # Between two neighbouring cuts, made by parts or by cells, exactly one part and one cell overlap.
    cuts = np.unique(np.concatenate([ends, np.arange(1, np.ceil(extent))]))
    middle = (cuts[1:] + cuts[:-1]) / 2
    part = np.clip(np.searchsorted(ends, middle) - 1, 0, parts - 1)
    cell = np.minimum(middle.astype(np.int64), cells - 1)  # the last cut may lie beyond by a rounding error
    weights = (np.diff(cuts) * parts / extent).astype(np.float32)
    return csr_array((weights, (part, cell)), shape=(parts, cells))


def mask_to_patches(mask: np.ndarray, grid_size: Size) -> np.ndarray:
    """Share of each patch that a mask covers.

    Args:
        mask: [H, W] bool.
        grid_size: (rows, columns).

    Returns:
        [rows, columns] float32 in [0, 1].
    """
    return np.clip(area_mean(mask, grid_size), 0.0, 1.0)


def sam_input_size(original_size: Size) -> Size:
    """(H, W) of an image inside SAM's frame: longest side 1024, rounded as `ResizeLongestSide` does."""
    scale = SAM_SIDE / max(original_size)
    return max(1, int(original_size[0] * scale + 0.5)), max(1, int(original_size[1] * scale + 0.5))


def to_sam_points(xy: np.ndarray, original_size: Size) -> np.ndarray:
    """Points in SAM's frame, as `ResizeLongestSide.apply_coords` maps them (SAM adds its half pixel itself).

    Args:
        xy: [K, 2] (x, y) in original pixels.
        original_size: (H, W).

    Returns:
        [K, 2] float32.
    """
    size = sam_input_size(original_size)
    ratio = np.array([size[1] / original_size[1], size[0] / original_size[0]])
    return (np.asarray(xy, dtype=np.float64).reshape(-1, 2) * ratio).astype(np.float32)


def low_res_size(original_size: Size) -> Size:
    """(rows, columns) of the low-resolution frame that hold the image, the last ones perhaps in part."""
    rows, columns = low_res_extent(original_size)
    return math.ceil(rows), math.ceil(columns)


def low_res_extent(original_size: Size) -> tuple[float, float]:
    """(rows, columns) of the low-resolution frame that the image covers exactly, in quarters; the rest is padding."""
    size = sam_input_size(original_size)
    step = SAM_SIDE // LOW_RES_SIDE
    return size[0] / step, size[1] / step


def to_low_res_frame(values: np.ndarray, original_size: Size, padding: float) -> np.ndarray:
    """Puts a map that covers the image into SAM's padded low-resolution frame.

    Args:
        values: [h, w] real, covering the whole image.
        original_size: (H, W) of the image.
        padding: the value outside of the image.

    Returns:
        [256, 256] float32.
    """
    frame = np.full((LOW_RES_SIDE, LOW_RES_SIDE), padding, dtype=np.float32)
    rows, columns = low_res_size(original_size)
    exact = low_res_extent(original_size)
    # The last row and column reach up to three quarters of a cell beyond the image; there its edge is continued.
    extent = (values.shape[0] * rows / exact[0], values.shape[1] * columns / exact[1])
    beyond = [(0, math.ceil(reach) - side) for reach, side in zip(extent, values.shape, strict=True)]
    continued = np.pad(np.asarray(values, dtype=np.float32), beyond, mode="edge")
    frame[:rows, :columns] = resample(continued, (rows, columns), extent)
    return frame


def from_low_res_frame(frame: np.ndarray, original_size: Size, size: Size) -> np.ndarray:
    """Cuts the image out of SAM's padded low-resolution frame and resamples it.

    Args:
        frame: [256, 256] real.
        original_size: (H, W) of the image.
        size: (H, W) of the result, for instance the patch grid or the original size.

    Returns:
        [H, W] float32.
    """
    rows, columns = low_res_size(original_size)
    return resample(frame[:rows, :columns], size, low_res_extent(original_size))


def logits_to_patches(logits: np.ndarray, original_size: Size, grid_size: Size) -> np.ndarray:
    """The share of each patch that a mask covers.

    Args:
        logits: [256, 256] in SAM's padded frame; the mask is where they are above 0.
        original_size: (H, W) of the image.
        grid_size: (rows, columns).

    Returns:
        [rows, columns] float32 in [0, 1].
    """
    return from_low_res_frame((logits > 0).astype(np.float32), original_size, grid_size)
