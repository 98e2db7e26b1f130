"""Correcting one mask: clicks, brush, eraser, "not in this image", each of which can be undone.

All of it happens on a preview of the image, at most `gpoa.app.pictures.PREVIEW` pixels long: what the segmenter draws
is coarser than that, and a click on an image of 24 megapixels is answered as fast as on a small one. What differs from
the first mask is brought to the image's own size when the mask is accepted.

A click hands the segmenter all clicks and the mask so far. Where the mask is made by clicks alone, its answer is the
new mask. Where there was a mask before, or a stroke, only the part of the answer at the click is taken over, so that a
click never undoes strokes, or other objects, elsewhere.

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
        open_clicker: makes what answers clicks, from the mask that they correct; called again for the first click after
            a stroke or a clearing.
    """

    def __init__(self, start: np.ndarray, open_clicker: Callable[[np.ndarray], Clicker]) -> None:
        self.start, self._open = start, open_clicker
        self.size: Size = (start.shape[0], start.shape[1])
        self.steps: list[Step] = []
        self._undone: list[Step] = []
        self._clicker: Clicker | None = None

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
        before = self.mask
        if self._clicker is None:
            self._clicker = self._open(before)
        answer = self._clicker.click(x, y, label)
        mask = answer if self._is_by_clicks() else merge_at(before, answer, (x, y), label)
        self._add(Step("click", np.packbits(mask), (x, y, label)))

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

    def _is_by_clicks(self) -> bool:
        """Whether the mask began empty and clicks alone have made it since."""
        kinds = [step.kind for step in self.steps]
        cleared = len(kinds) - 1 - kinds[::-1].index("clear") if "clear" in kinds else None
        began_empty = cleared is not None or not self.start.any()
        return began_empty and all(kind == "click" for kind in kinds[0 if cleared is None else cleared + 1 :])

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        self._undone.clear()

    def _unpack(self, bits: np.ndarray) -> np.ndarray:
        height, width = self.size
        return np.unpackbits(bits, count=height * width).reshape(self.size).astype(bool)


def merge_at(before: np.ndarray, answer: np.ndarray, point: tuple[float, float], label: int) -> np.ndarray:
    """Takes of a new mask only what it changes at a click, in the direction that the click asks for.

    Args:
        before: [h, w] bool, the mask so far.
        answer: [h, w] bool, the segmenter's new mask.
        point: (x, y) of the click.
        label: 1 adds, 0 removes.

    Returns:
        [h, w] bool: `before` with the connected part of the change that holds the click. Where the answer does not
        change the click's own pixel, the part that is nearest to it within a twentieth of the image's longer side;
        `before` itself where there is none.
    """
    from scipy import ndimage

    change = answer & ~before if label == 1 else before & ~answer
    if not change.any():
        return before.copy()
    parts, _ = ndimage.label(change)
    column, row = (min(max(round(value), 0), side - 1) for value, side in zip(point, before.shape[::-1], strict=True))
    number = parts[row, column]
    if number == 0:
        reach = max(before.shape) // 20
        top, left = max(row - reach, 0), max(column - reach, 0)
        near = np.argwhere(change[top : row + reach + 1, left : column + reach + 1]) + (top, left)
        if not len(near):
            return before.copy()
        number = parts[tuple(near[((near - (row, column)) ** 2).sum(axis=1).argmin()])]
    part = parts == number
    return before | part if label == 1 else before & ~part


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
