"""A mask from points and boxes that a person set, for those who have no mask of their reference yet.

Every box is one object and one call of the decoder. The points outside all boxes make one call together; where its mask
misses one of them, or covers one that is not the object, each point gets a call of its own (several objects), and the
masks are joined. A lone point is ambiguous (a window, a door or the house): of SAM's three masks the one that SAM rates
highest is taken, as its authors advise (Kirillov et al. 2023, section 3); anything more gets the single mask. The
answer goes back once as mask prompt, as in SAM's interactive training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gpoa.errors import PromptError
from gpoa.segmenters.base import Segmenter, upscale_logits
from gpoa.types import ImageEmbedding, Marks, PointPrompts, Size

Numbers = Sequence[float] | Sequence[Sequence[float]] | np.ndarray
"""One point (x, y) or box (x0, y0, x1, y1), or several."""


def make_marks(
    points: Numbers = (), not_points: Numbers = (), box: Numbers = (), not_box: Numbers = ()
) -> Marks | None:
    """Points and boxes as arrays.

    Args:
        points: (x, y) on the object, one or several, in original pixels.
        not_points: likewise, beside it.
        box: (x0, y0, x1, y1) around an object, one or several.
        not_box: likewise, regions that the mask leaves out.

    Returns:
        The marks; None where nothing was given.

    Raises:
        PromptError: values of another kind, or only marks that say where the object is not.
    """
    marks = Marks(_rows(points, 2), _rows(not_points, 2), _rows(box, 4), _rows(not_box, 4))
    if not len(marks.points) and not len(marks.boxes):
        if len(marks.not_points) or len(marks.not_boxes):
            raise PromptError("the marks say only where the object is not; give a point on it, or a box around it")
        return None
    for x0, y0, x1, y1 in [*marks.boxes, *marks.not_boxes]:
        if x0 >= x1 or y0 >= y1:
            raise PromptError(f"box {x0:g},{y0:g},{x1:g},{y1:g}: expected left, top, right, bottom (x0 < x1, y0 < y1)")
    return marks


def mask_of_marks(segmenter: Segmenter, embedding: ImageEmbedding, marks: Marks) -> np.ndarray:
    """The mask that the segmenter makes of a person's marks.

    Args:
        segmenter: any.
        embedding: of the image.
        marks: where the object is.

    Returns:
        [H, W] bool at the image's original size, with foreground.

    Raises:
        PromptError: a mark lies outside the image, or the mask is empty.
    """
    refuse_marks_outside(marks, embedding.original_size)
    mask = np.zeros(embedding.original_size, dtype=bool)
    free = np.ones(len(marks.points), dtype=bool)
    for box in marks.boxes:
        inside = _inside(marks.points, box)
        free &= ~inside
        near = _inside(marks.not_points, box)
        mask |= _answer(segmenter, embedding, _prompts(marks.points[inside], marks.not_points[near], box))
    if free.any():
        mask |= _of_points(segmenter, embedding, marks.points[free], marks.not_points)
    for x0, y0, x1, y1 in marks.not_boxes.round().astype(int):
        mask[max(y0, 0) : y1, max(x0, 0) : x1] = False
    if not mask.any():
        raise PromptError("the marks make an empty mask; set a point in the middle of the object, or a box around it")
    return mask


def refuse_marks_outside(marks: Marks, size: Size) -> None:
    """Refuses marks outside the image.

    Args:
        marks: any.
        size: (H, W) of the image.

    Raises:
        PromptError: names the first such point or box.
    """
    height, width = size
    for x, y in [*marks.points, *marks.not_points]:
        if not (0 <= x < width and 0 <= y < height):
            raise PromptError(f"point {x:g},{y:g} lies outside the image of {width}x{height}; points are x,y in pixels")
    for x0, y0, x1, y1 in [*marks.boxes, *marks.not_boxes]:
        if min(x0, y0) < 0 or x1 > width or y1 > height:
            raise PromptError(f"box {x0:g},{y0:g},{x1:g},{y1:g} leaves the image of {width}x{height} (width x height)")


def _of_points(segmenter: Segmenter, embedding: ImageEmbedding, points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[H, W] bool of points on one object or on several."""
    joint = _answer(segmenter, embedding, _prompts(points, others))
    if len(points) == 1 or (_values(joint, points).all() and not _values(joint, others).any()):
        return joint
    masks = [_answer(segmenter, embedding, _prompts(point[None], others)) for point in points]
    return np.logical_or.reduce(masks)


def _answer(segmenter: Segmenter, embedding: ImageEmbedding, prompts: PointPrompts) -> np.ndarray:
    """[H, W] bool: the segmenter's mask of one set, given back to it once."""
    lone = prompts.box is None and len(prompts.point_labels) == 1
    first = segmenter.decode(embedding, [prompts], multimask_output=lone)
    logits = first.low_res_logits[0, first.iou_predictions[0].argmax()]
    second = segmenter.decode(embedding, [replace(prompts, mask_prompt=logits)])
    return upscale_logits(second.low_res_logits[0, 0], embedding.input_size, embedding.original_size) > 0


def _prompts(points: np.ndarray, others: np.ndarray, box: np.ndarray | None = None) -> PointPrompts:
    """One prompt set."""
    labels = np.repeat([1, 0], [len(points), len(others)]).astype(np.int64)
    return PointPrompts(np.concatenate([points, others]).astype(np.float32), labels, box)


def _inside(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """[K] bool: which points lie in a box."""
    return np.all((points >= box[:2]) & (points <= box[2:]), axis=1)


def _values(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[K] bool: the mask at points inside the image."""
    columns, rows = points.astype(int).T
    return mask[rows, columns]


def _rows(values: Numbers, width: int) -> np.ndarray:
    """[K, width] float32."""
    kind = "points are (x, y)" if width == 2 else "boxes are (x0, y0, x1, y1)"
    try:
        rows = np.asarray(values, dtype=np.float32)
        rows = rows.reshape(0, width) if rows.size == 0 else np.atleast_2d(rows)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{kind} in pixels, not {values!r}") from error
    if rows.ndim != 2 or rows.shape[1] != width or not np.isfinite(rows).all():
        raise PromptError(f"{kind} in pixels, not {np.asarray(values).tolist()!r}")
    return rows
