"""Correcting one mask: clicks, brush, eraser, "not in this image", each of which can be undone.

All of it happens on a preview of the image, at most `gpoa.app.pictures.PREVIEW` pixels long: what the segmenter draws
is coarser than that, and a click on an image of 24 megapixels is answered as fast as on a small one. What differs from
the first mask is brought to the image's own size when the mask is accepted.

Where the mask is made by clicks alone, the segmenter gets all clicks and its own latest mask, and its answer is the
new mask. A mask of one compact piece that was there before stands for a click on its middle, before the person's own.
Where it has several pieces, or after a stroke, a click asks for the thing under it alone, which is added to the mask
or, by a click beside the object, taken out of it; so a click never undoes strokes, or other objects, elsewhere. (SAM's
way of correcting its own masks, the mask as a prompt beside the clicks, made masks of other origin worse.)

Legend: [h, w] is the preview; points are (x, y) in its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from gpoa.errors import DataError
from gpoa.types import Size

ONE_PIECE = 0.8
"""A mask is of one piece where the largest holds this share of it."""
COMPACT = 0.2
"""... and the largest disc inside that holds this share of it: grains that touch are no piece."""
CORE_SIDE = 256
"""The middle of a mask is found at this resolution."""


class Clicker(Protocol):
    """Answers clicks on one image, as `gpoa.pipeline.click_session.ClickSession` does."""

    def click(self, x: float, y: float, label: int = 1) -> np.ndarray:
        """The mask after one more click: [h, w] bool."""
        ...

    def undo(self) -> bool:
        """Takes the latest click back."""
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """One thing that a person did, and the mask after it.

    Args:
        kind: click, stroke, or clear (which is also "not in this image").
        bits: the mask, packed.
        point: (x, y, label) of a click.
    """

    kind: str
    bits: np.ndarray
    point: tuple[float, float, int] | None = None


class Edit:
    """The mask of one image while somebody corrects it.

    Args:
        start: [h, w] bool, the mask as it was.
        open_clicker: makes what answers clicks on the image, from nothing.
    """

    def __init__(self, start: np.ndarray, open_clicker: Callable[[], Clicker]) -> None:
        self.start, self._open = start, open_clicker
        self.size: Size = (start.shape[0], start.shape[1])
        self.steps: list[Step] = []
        self._undone: list[Step] = []
        self._clicker: Clicker | None = None
        self._core: tuple[float, float, int] | None = None

    @property
    def mask(self) -> np.ndarray:
        """[h, w] bool as it is now."""
        return self._unpack(self.steps[-1].bits) if self.steps else self.start

    @property
    def points(self) -> list[tuple[float, float, int]]:
        """The clicks that made the present mask, (x, y, label); those before a clearing do not count."""
        found: list[tuple[float, float, int]] = []
        for step in self.steps:
            found = [] if step.kind == "clear" else found + ([step.point] if step.point else [])
        return found

    def count(self, kind: str) -> int:
        """How many steps of a kind were made and not undone."""
        return sum(step.kind == kind for step in self.steps)

    @property
    def can_redo(self) -> bool:
        """Whether something was undone."""
        return bool(self._undone)

    def click(self, x: float, y: float, label: int) -> None:
        """A click on the object (1) or beside it (0).

        Raises:
            DataError: it lies outside the image.
        """
        height, width = self.size
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise DataError("this click lies outside the image")
        before, began = self.mask, self._began()
        if began is not None and not self.points:
            self._core, self._clicker = core_of(began, (x, y), label), None
        if began is None or (began.any() and self._core is None):
            mask = self._merged(before, x, y, label)
        else:
            mask = self._continued(x, y, label)
        self._add(Step("click", np.packbits(mask), (x, y, label)))

    def _continued(self, x: float, y: float, label: int) -> np.ndarray:
        """The segmenter's answer to all clicks."""
        if self._clicker is None:
            self._clicker = self._open()
            for point in [*([self._core] if self._core else []), *self.points]:
                self._clicker.click(*point)
        return self._clicker.click(x, y, label)

    def _merged(self, before: np.ndarray, x: float, y: float, label: int) -> np.ndarray:
        """The mask with the thing under a click, or without it. Earlier clicks of the other kind stay as they were."""
        clicker = self._open()
        thing = clicker.click(x, y, 1)
        for column, row, other in self.points:
            if other != label and thing[pixel_at(column, row, self.size)]:
                thing = clicker.click(column, row, 0)
        return merge_at(before, thing, (x, y), label)

    def stroke(self, points: Sequence[tuple[float, float]], radius: float, add: bool) -> None:
        """A stroke of the brush, or of the eraser.

        Args:
            points: at least one, the pointer's way.
            radius: of the brush in pixels, above 0.
            add: the brush; else the eraser.
        """
        drawn = draw_stroke(self.size, points, radius)
        mask = self.mask | drawn if add else self.mask & ~drawn
        self._clicker = None
        self._add(Step("stroke", np.packbits(mask)))

    def clear(self) -> None:
        """An empty mask: begin anew, or the object is not in this image."""
        self._clicker = None
        self._add(Step("clear", np.packbits(np.zeros(self.size, dtype=bool))))

    def undo(self) -> bool:
        """Takes the latest step back; False where there is none."""
        if not self.steps:
            return False
        self._undone.append(self.steps.pop())
        if self._clicker is not None and not self._clicker.undo():
            self._clicker = None
        return True

    def redo(self) -> bool:
        """Does again what was undone; False where nothing was."""
        if not self._undone:
            return False
        self.steps.append(self._undone.pop())
        self._clicker = None
        return True

    def let_go(self) -> None:
        """Forgets what answers clicks; it is made again when it is needed."""
        self._clicker = None

    def full_mask(self, size: Size, before: np.ndarray) -> np.ndarray:
        """The mask at the image's own size.

        Args:
            size: (H, W) of the image.
            before: [H, W] bool, the mask as it was at that size; it is kept wherever the preview did not change.

        Returns:
            [H, W] bool.
        """
        mask = self.mask
        if size == self.size:
            return mask.copy()
        if not mask.any():
            return np.zeros(size, dtype=bool)
        changed = enlarge(mask != self.start, size)
        return np.where(changed, enlarge(mask, size), before)

    def _began(self) -> np.ndarray | None:
        """The mask with which the clicks began; None where a stroke is among them."""
        kinds = [step.kind for step in self.steps]
        cleared = len(kinds) - kinds[::-1].index("clear") if "clear" in kinds else None
        if "stroke" in kinds[cleared or 0 :]:
            return None
        return self.start if cleared is None else np.zeros(self.size, dtype=bool)

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        self._undone.clear()

    def _unpack(self, bits: np.ndarray) -> np.ndarray:
        height, width = self.size
        return np.unpackbits(bits, count=height * width).reshape(self.size).astype(bool)


def merge_at(before: np.ndarray, thing: np.ndarray, point: tuple[float, float], label: int) -> np.ndarray:
    """Adds to a mask, or takes out of it, the part of a thing that lies at a click.

    Args:
        before: [h, w] bool, the mask so far.
        thing: [h, w] bool, what the segmenter sees under the click.
        point: (x, y) of the click.
        label: 1 adds, 0 takes out.

    Returns:
        [h, w] bool. Of a thing that does not cover the click, the part that is nearest to it within a twentieth of the
        image's longer side counts; `before` itself where there is none.
    """
    from scipy import ndimage

    parts, _ = ndimage.label(thing)
    row, column = pixel_at(*point, before.shape)
    number = parts[row, column]
    if number == 0:
        reach = max(before.shape) // 20
        top, left = max(row - reach, 0), max(column - reach, 0)
        near = np.argwhere(thing[top : row + reach + 1, left : column + reach + 1]) + (top, left)
        if not len(near):
            return before.copy()
        number = parts[tuple(near[((near - (row, column)) ** 2).sum(axis=1).argmin()])]
    part = parts == number
    return before | part if label == 1 else before & ~part


def core_of(mask: np.ndarray, point: tuple[float, float], label: int) -> tuple[float, float, int] | None:
    """The click that a mask of one piece stands for: on the place that is farthest from its border.

    Args:
        mask: [h, w] bool.
        point: (x, y) of the person's click.
        label: of that click; from a click beside the object (0) the place keeps away.

    Returns:
        (x, y, 1); None for an empty mask, for one of several pieces or a ragged one, or where nothing of it is left.
    """
    from scipy import ndimage

    step = max(1, max(mask.shape) // CORE_SIDE)
    small = mask[::step, ::step]
    parts, count = ndimage.label(small)
    areas = np.bincount(parts.reshape(-1), minlength=2)[1:]
    if count == 0 or areas.max() < ONE_PIECE * areas.sum():
        return None
    piece = np.pad(parts == 1 + areas.argmax(), 1)
    depth = ndimage.distance_transform_edt(piece)[1:-1, 1:-1]
    if np.pi * depth.max() ** 2 < COMPACT * areas.max():
        return None
    if label == 0:
        rows, columns = np.ogrid[: small.shape[0], : small.shape[1]]
        away = np.hypot(rows - point[1] / step, columns - point[0] / step)
        depth = np.minimum(depth, away)  # of what is as deep, the farther place
        depth[away < max(small.shape) / 20] = 0
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return (float(column * step), float(row * step), 1) if depth[row, column] > 0 else None


def pixel_at(x: float, y: float, size: Sequence[int]) -> tuple[int, int]:
    """(row, column) of the pixel at a point, inside the image."""
    return min(max(round(y), 0), size[0] - 1), min(max(round(x), 0), size[1] - 1)


def draw_stroke(size: Size, points: Sequence[tuple[float, float]], radius: float) -> np.ndarray:
    """The pixels under a round brush: [h, w] bool.

    Args:
        size: (h, w).
        points: at least one (x, y).
        radius: in pixels, above 0.
    """
    canvas = Image.new("1", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    if len(points) > 1:
        draw.line([tuple(point) for point in points], fill=1, width=max(1, round(2 * radius)))
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    return np.asarray(canvas)


def enlarge(mask: np.ndarray, size: Size) -> np.ndarray:
    """A mask at another size, with smooth borders: [H, W] bool."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)) > 127
