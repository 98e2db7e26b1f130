"""The objects of one view: an image, or a window of a large one, that the models saw as a whole.

    probability --seeds--> one decoder call a seed --outlines--> judged --fusion--> objects

Legend: the grid is the view's own pixels, or fewer where the view is larger than `GRID_SIDE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpoa.config import ObjectsConfig
from gpoa.geometry import low_res_extent, resample
from gpoa.instances.decoding import Outline, cell_outlines, object_prompts, segmenter_outlines
from gpoa.instances.fusion import suppress, union
from gpoa.instances.judging import WEIGHTS, ObjectWeights, evidence, scores
from gpoa.instances.objects import Found, Window, trimmed
from gpoa.instances.seeds import PROMINENCE, Seeds, find_seeds
from gpoa.instances.sizes import SizeRange, equivalent_diameter
from gpoa.segmenters.base import Segmenter
from gpoa.types import ImageEmbedding, Size

GRID_SIDE = 512
"""Longest side of the grid. SAM's masks have 256 cells along it."""
LEAST_CELLS = 3.0
"""A cell of a smaller diameter, in cells of SAM's low-resolution frame, is taken as it is: no mask of SAM is finer."""
LEAST_SCORE = 0.35
"""Outlines of which less is expected are no objects."""


@dataclass(frozen=True)
class Tuning:
    """What may be fitted to a material.

    Args:
        prominence: see `gpoa.instances.seeds`.
        weights: see `gpoa.instances.judging`.
        least: see `LEAST_SCORE`.
    """

    prominence: float = PROMINENCE
    weights: ObjectWeights = WEIGHTS
    least: float = LEAST_SCORE


@dataclass(frozen=True, eq=False)
class View:
    """What the models saw.

    Args:
        logits: [h, w] float32 log odds of the prior over the view, of any size.
        embedding: the segmenter's, of the view; its `original_size` is the view's size.
    """

    logits: np.ndarray
    embedding: ImageEmbedding

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        return self.embedding.original_size

    @property
    def grid(self) -> Size:
        """(H, W) of the grid."""
        factor = min(1.0, GRID_SIDE / max(self.size))
        return max(1, round(self.size[0] * factor)), max(1, round(self.size[1] * factor))

    def probability(self) -> np.ndarray:
        """[H, W] float32 on the grid."""
        return (1 / (1 + np.exp(-resample(self.logits, self.grid)))).astype(np.float32)


def find_objects(
    view: View, segmenter: Segmenter, sizes: SizeRange, settings: ObjectsConfig, tuning: Tuning | None = None
) -> tuple[list[Found], int]:
    """The objects of a view.

    Args:
        view: what the models saw.
        segmenter: decodes.
        sizes: of the reference's objects, in pixels of the view.
        settings: fusion, negatives and more.
        tuning: what was fitted to the material; default: the measured one.

    Returns:
        (objects in pixels of the view, by score, decoder calls). With the fusion "average" one outline a seed, which
        may overlap; else objects that hardly do.
    """
    tuning = tuning or Tuning()
    factor = view.grid[1] / view.size[1]
    probability, on_grid = view.probability(), sizes.scaled(factor)
    seeds = find_seeds(probability, on_grid.median, tuning.prominence)
    outlines, calls = all_outlines(view, seeds, segmenter, settings)
    if not outlines:
        return [], calls
    table = evidence(outlines, seeds, probability, on_grid)
    found = to_found(outlines, scores(table, tuning.weights), seeds)
    if settings.fusion == "nms":
        kept = suppress(found, tuning.least)
    else:
        kept = best_of_each(outlines, found, tuning.least)
        kept = union(kept) if settings.fusion == "union" else kept
    return [enlarged(one, view.grid, view.size) for one in kept], calls


def all_outlines(
    view: View, seeds: Seeds, segmenter: Segmenter, settings: ObjectsConfig
) -> tuple[list[Outline], int]:
    """Every outline that an object of the view may have, and the decoder calls that they cost."""
    outlines = list(cell_outlines(seeds))
    if not settings.decoder:
        return outlines, 0
    areas = np.bincount(seeds.cells.reshape(-1), minlength=len(seeds.xy) + 1)[1:]
    scale = low_res_extent(view.size)[1] / view.grid[1]
    asked = np.flatnonzero(equivalent_diameter(areas) * scale >= LEAST_CELLS)
    prompts = object_prompts(seeds, view.size, settings.negatives, settings.box)
    sets = [prompts[place] for place in asked]
    for one in segmenter_outlines(segmenter, view.embedding, sets, view.grid):
        outlines.append(one._replace(seed=int(asked[one.seed])))
    return outlines, len(sets)


def to_found(outlines: Sequence[Outline], estimates: np.ndarray, seeds: Seeds) -> list[Found]:
    """Outlines with their scores, on the grid."""
    return [
        Found(
            one.window,
            one.mask,
            float(score),
            (float(seeds.xy[one.seed, 0]), float(seeds.xy[one.seed, 1])),
            "cell" if one.is_cell else "sam",
        )
        for one, score in zip(outlines, estimates, strict=True)
    ]


def best_of_each(outlines: Sequence[Outline], found: Sequence[Found], least: float) -> list[Found]:
    """The best outline of each seed, where it is good enough."""
    best: dict[int, Found] = {}
    for outline, one in zip(outlines, found, strict=True):
        if one.score >= least and (outline.seed not in best or best[outline.seed].score < one.score):
            best[outline.seed] = one
    return list(best.values())


def enlarged(one: Found, grid: Size, size: Size) -> Found:
    """An object of the grid in pixels of the view, its outline smooth.

    Args:
        one: on the grid.
        grid: (H, W) of the grid.
        size: (H, W) of the view.
    """
    if grid == size:
        return one
    ratio = size[0] / grid[0], size[1] / grid[1]
    window: Window = tuple(  # type: ignore[assignment]
        slice(int(part.start * r), min(length, int(np.ceil(part.stop * r))))
        for part, r, length in zip(one.window, ratio, size, strict=True)
    )
    from PIL import Image

    soft = Image.fromarray(np.pad(one.mask, 1).astype(np.float32))
    box = tuple(
        (side.start + far * (side.stop - side.start)) / r - part.start + 1
        for far in (0, 1)
        for side, r, part in zip(window[::-1], ratio[::-1], one.window[::-1], strict=True)
    )
    shape = window[1].stop - window[1].start, window[0].stop - window[0].start
    box = tuple(np.clip(box, 0, (soft.width, soft.height) * 2))
    fine = np.asarray(soft.resize(shape, Image.Resampling.BILINEAR, box=box)) > 0.5
    found = trimmed(fine, window[0].start, window[1].start)
    if found is None:  # a dot between the samples
        found = window, np.ones((window[0].stop - window[0].start, window[1].stop - window[1].start), dtype=bool)
    xy = (one.xy[0] + 0.5) * ratio[1] - 0.5, (one.xy[1] + 0.5) * ratio[0] - 0.5
    return replace(one, window=found[0], mask=found[1], xy=xy)
