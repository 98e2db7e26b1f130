"""One decoder call an object: the prompts of each seed, and the outlines that the object may have.

Legend: `N` seeds, `M` masks a prompt set, `K` points. Grids are samplings of the same image whose outer edges coincide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage, spatial

from gpoa.geometry import LOW_RES_SIDE, low_res_extent, rescale_points
from gpoa.instances.objects import Window, trimmed
from gpoa.instances.seeds import Seeds
from gpoa.segmenters.base import Segmenter
from gpoa.types import ImageEmbedding, PointPrompts, Size

BATCH = 64
"""Prompt sets whose masks are in memory together."""
BOX_MARGIN = 0.15
"""The box around a cell is grown by this share of its sides."""


class Outline(NamedTuple):
    """One outline that an object may have.

    Args:
        seed: index of its seed.
        window: where it lies on the grid.
        mask: [h, w] bool.
        iou: the segmenter's own estimate, 0 for a cell.
        stability: the segmenter's: pixels well inside over pixels barely inside; 0 for a cell.
        is_cell: drawn by the watershed.
    """

    seed: int
    window: Window
    mask: np.ndarray
    iou: float
    stability: float
    is_cell: bool


def object_prompts(seeds: Seeds, image_size: Size, negatives: int, with_box: bool) -> list[PointPrompts]:
    """One prompt set for each seed: itself, the nearest other seeds as negatives, the box of its cell.

    Args:
        seeds: on a grid over the image.
        image_size: (H, W) of the image, in whose pixels the prompts are.
        negatives: how many of the nearest other seeds.
        with_box: add the box of the cell, slightly grown, where the cell is not empty.

    Returns:
        N prompt sets of 1 to 1 + negatives points.
    """
    grid = seeds.cells.shape
    points = rescale_points(seeds.xy, grid, image_size).astype(np.float32)
    boxes = ndimage.find_objects(seeds.cells, len(points))
    count = min(negatives, len(points) - 1)
    near = np.zeros((len(points), 0), dtype=np.int64)
    if count > 0:
        near = spatial.cKDTree(points).query(points, count + 1)[1][:, 1:]
    made = []
    for place, xy in enumerate(points):
        others = points[near[place]]
        coords = np.concatenate([xy[None], others])
        labels = np.array([1] + [0] * len(others), dtype=np.int64)
        box = _box(boxes[place], grid, image_size) if with_box and boxes[place] is not None else None
        made.append(PointPrompts(coords, labels, box=box))
    return made


def _box(window: Window, grid: Size, image_size: Size) -> np.ndarray:
    """[4] float32 (x0, y0, x1, y1) in pixels of the image around a window of the grid."""
    low, high = np.array([[window[1].start, window[0].start], [window[1].stop, window[0].stop]], dtype=np.float64)
    margin = BOX_MARGIN * (high - low)
    corners = rescale_points(np.stack([low - margin - 0.5, high + margin - 0.5]), grid, image_size)
    bounds = [image_size[1] - 1, image_size[0] - 1]
    return np.clip(corners, 0, bounds).reshape(-1).astype(np.float32)


def segmenter_outlines(
    segmenter: Segmenter, embedding: ImageEmbedding, sets: Sequence[PointPrompts], grid: Size
) -> Iterator[Outline]:
    """Decodes prompt sets and cuts the masks out.

    Args:
        segmenter: decodes.
        embedding: of the image.
        sets: one a seed.
        grid: (H, W) of the grid on which the masks are wanted.

    Returns:
        Up to four outlines a set, empty ones left out.
    """
    for begin in range(0, len(sets), BATCH):
        part = sets[begin : begin + BATCH]
        prediction = segmenter.decode(embedding, part, all_outputs=True)
        for place, (logits, ious) in enumerate(
            zip(prediction.low_res_logits, prediction.iou_predictions, strict=True), start=begin
        ):
            for one, iou in zip(logits, ious, strict=True):
                found = logits_to_grid(one, embedding.original_size, grid)
                if found is not None:
                    stability = float((one > 1).sum() / max(1, (one > -1).sum()))
                    yield Outline(place, *found, float(np.clip(iou, 0, 1)), stability, False)


def cell_outlines(seeds: Seeds) -> Iterator[Outline]:
    """The watershed cells themselves; of a cell in several parts the one with the most pixels."""
    for place, window in enumerate(ndimage.find_objects(seeds.cells, len(seeds.xy))):
        if window is None:
            continue
        mask = largest_part(seeds.cells[window] == place + 1)
        found = trimmed(mask, window[0].start, window[1].start)
        if found is not None:
            yield Outline(place, *found, 0.0, 0.0, True)


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask with its holes filled, [h, w] bool; all False where the mask is."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count > 1:
        mask = parts == 1 + int(np.argmax(np.bincount(parts.reshape(-1))[1:]))
    return ndimage.binary_fill_holes(mask)


def logits_to_grid(logits: np.ndarray, image_size: Size, grid: Size) -> tuple[Window, np.ndarray] | None:
    """Where logits are positive on another grid, computed only around that place; None where nowhere.

    Args:
        logits: [256, 256] float32 in SAM's padded frame.
        image_size: (H, W) of the image.
        grid: (H, W) of the grid, which covers the image.

    Returns:
        (window on the grid, [h, w] bool), the largest connected part.
    """
    rows, columns = low_res_extent(image_size)
    inside = trimmed(logits[: int(np.ceil(rows)), : int(np.ceil(columns))] > 0)
    if inside is None:
        return None
    windows, samples = [], []
    for axis, (extent, length) in enumerate(zip((rows, columns), grid, strict=True)):
        step, reach = extent / length, inside[0][axis]
        start = max(0, int(np.floor((reach.start - 1) / step)))
        stop = min(length, int(np.ceil((reach.stop + 1) / step)))
        windows.append(slice(start, stop))
        samples.append(np.clip((np.arange(start, stop) + 0.5) * step - 0.5, 0, LOW_RES_SIDE - 1))
    fine = _bilinear(logits, samples[0], samples[1]) > 0
    return trimmed(largest_part(fine), windows[0].start, windows[1].start) if fine.any() else None


def _bilinear(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[R, C] values at all pairs of fractional rows and columns."""
    top = np.minimum(rows.astype(np.int64), len(values) - 2)
    left = np.minimum(columns.astype(np.int64), values.shape[1] - 2)
    down, right = (rows - top)[:, None], (columns - left)[None]
    upper = values[top[:, None], left] * (1 - right) + values[top[:, None], left + 1] * right
    lower = values[top[:, None] + 1, left] * (1 - right) + values[top[:, None] + 1, left + 1] * right
    return upper * (1 - down) + lower * down
