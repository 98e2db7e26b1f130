"""Clicks on one image: what the segmenter answers to a person's or an agent's clicks, step after step.

Everything happens in SAM's padded low-resolution frame of 256 x 256 cells; clicks are in original pixels. Transitions
are deterministic and states are values: going back is taking an earlier state. Legend: `K` clicks, `M` masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gpoa.geometry import LOW_RES_SIDE, SAM_SIDE, low_res_size, to_low_res_frame
from gpoa.segmenters.base import Segmenter
from gpoa.types import ImageEmbedding, PointPrompts, ScoreMap, Size

CELL = SAM_SIDE // LOW_RES_SIDE
LOGIT_LIMIT = 20.0
"""Logits of mask prompts are clipped here."""
START_LOGIT = 8.0
"""Logit of a mask that a person or another method gave."""


class Click(NamedTuple):
    """A click: (x, y) in original pixels, and its label, 1 on the object, 0 beside it."""

    x: float
    y: float
    label: int = 1


@dataclass(frozen=True, eq=False)
class ClickState:
    """What is known after some clicks.

    Args:
        clicks: in order.
        logits: [256, 256] float32 of the mask; above 0 is foreground, far below 0 where there is no mask yet.
        iou: SAM's own estimate of the mask's IoU; 0 where there is no mask.
        outputs: [4, 256, 256] float32, all masks of the latest call, the single one first; None before the first.
        output_ious: [4] float32, SAM's estimates of them; None before the first call.
    """

    clicks: tuple[Click, ...]
    logits: np.ndarray
    iou: float = 0.0
    outputs: np.ndarray | None = None
    output_ious: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """[256, 256] bool."""
        return self.logits > 0


class ClickEpisode:
    """One image and its segmenter, to be clicked on.

    Args:
        segmenter: any; episodes may share one.
        embedding: of the image.
        prior: [256, 256] float32 log odds in SAM's frame that a cell is the object (`prior_frame`); None is unknown.
        start: [256, 256] float32 logits of a mask to begin with, fed to the segmenter with the first click; None begins
            without a mask.
        feed_back: the latest mask's logits are a prompt of the next call.

    Attributes:
        calls: decoder calls so far.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        embedding: ImageEmbedding,
        prior: np.ndarray | None = None,
        start: np.ndarray | None = None,
        feed_back: bool = True,
    ) -> None:
        self.segmenter, self.embedding, self.prior = segmenter, embedding, prior
        self._start, self.feed_back = start, feed_back
        self.calls = 0

    @property
    def size(self) -> Size:
        """(H, W) of the image."""
        return self.embedding.original_size

    def begin(self) -> ClickState:
        """The state before any click."""
        nothing = np.full((LOW_RES_SIDE, LOW_RES_SIDE), -LOGIT_LIMIT, dtype=np.float32)
        return ClickState((), nothing if self._start is None else self._start)

    def click(self, state: ClickState, click: Click) -> ClickState:
        """The state after one more click, which costs one decoder call."""
        return self.click_many(state, [click])[0]

    def click_many(self, state: ClickState, clicks: list[Click]) -> list[ClickState]:
        """What each of several clicks would lead to, decoded together.

        Args:
            state: where each of them is made.
            clicks: at least one.

        Returns:
            One state a click.
        """
        self.calls += len(clicks)
        sets = [self.prompts(state, (*state.clicks, click)) for click in clicks]
        answer = self.segmenter.decode(self.embedding, sets, all_outputs=True)
        made = []
        for click, outputs, ious in zip(clicks, answer.low_res_logits, answer.iou_predictions, strict=True):
            all_clicks = (*state.clicks, click)
            best = self.choose(all_clicks, outputs, ious)
            made.append(ClickState(all_clicks, outputs[best], float(ious[best]), outputs, ious))
        return made

    def prompts(self, state: ClickState, clicks: tuple[Click, ...]) -> PointPrompts:
        """What the segmenter is asked: the clicks and, where that is switched on, the state's mask."""
        first = state.outputs is None
        dense = self._start is not None if first else self.feed_back
        return PointPrompts(
            np.array([(click.x, click.y) for click in clicks], dtype=np.float32).reshape(-1, 2),
            np.array([click.label for click in clicks], dtype=np.int64),
            mask_prompt=np.clip(state.logits, -LOGIT_LIMIT, LOGIT_LIMIT) if dense else None,
        )

    def choose(self, clicks: tuple[Click, ...], outputs: np.ndarray, ious: np.ndarray) -> int:
        """Which of the decoder's four masks is meant: SAM's own rule, the best of three by its estimate after a single
        click, the single one after more or where a mask was fed back.

        Args:
            clicks: all of them.
            outputs: [4, 256, 256] logits.
            ious: [4] SAM's estimates.
        """
        alone = len(clicks) == 1 and self._start is None
        return 1 + int(np.argmax(ious[1:])) if alone else 0


def agreement(clicks: tuple[Click, ...], mask: np.ndarray, size: Size) -> float:
    """The share of clicks that a mask agrees with; 1 where there are none.

    Args:
        clicks: in original pixels.
        mask: [256, 256] bool.
        size: (H, W) of the image.
    """
    if not clicks:
        return 1.0
    rows, columns = cells_of(clicks, size)
    return float((mask[rows, columns] == np.array([click.label == 1 for click in clicks])).mean())


def cells_of(clicks: tuple[Click, ...], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """([K] rows, [K] columns) int64 of clicks in SAM's low-resolution frame."""
    xy = np.array([(click.x, click.y) for click in clicks], dtype=np.float64).reshape(-1, 2)
    cell = np.floor((xy + 0.5) * _scale(size)).astype(np.int64)
    rows, columns = low_res_size(size)
    return np.clip(cell[:, 1], 0, rows - 1), np.clip(cell[:, 0], 0, columns - 1)


def click_at(row: float, column: float, label: int, size: Size) -> Click:
    """The click at the centre of a cell of SAM's low-resolution frame, rounded to a pixel inside the image."""
    x, y = ((place + 0.5) / _scale(size) - 0.5 for place in (column, row))
    return Click(round(min(max(x, 0), size[1] - 1)), round(min(max(y, 0), size[0] - 1)), label)


def prior_frame(prior: ScoreMap | np.ndarray, size: Size) -> np.ndarray:
    """A prior map in SAM's frame.

    Args:
        prior: a score map whose logits are log odds (`Prompter.score_map`), or [h, w] float probabilities in [0, 1]
            over the whole image at any size.
        size: (H, W) of the image.

    Returns:
        [256, 256] float32 log odds, clipped to +-20, far negative in the padding.

    Raises:
        ValueError: the probabilities are not in [0, 1], or not a map.
    """
    if isinstance(prior, ScoreMap):
        logits = prior.logits if prior.detail is None else prior.detail
    else:
        values = np.asarray(prior, dtype=np.float32)
        if values.ndim != 2 or not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"prior: [h, w] probabilities in [0, 1] are expected, got shape {values.shape}")
        share = np.clip(values, 1e-5, 1 - 1e-5)
        logits = np.log(share / (1 - share))
    return to_low_res_frame(np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT), size, padding=-LOGIT_LIMIT)


def mask_frame(mask: np.ndarray) -> np.ndarray:
    """A mask [H, W] bool of the image as logits in SAM's frame: [256, 256] float32 in +-8."""
    share = to_low_res_frame(np.asarray(mask, dtype=np.float32), mask.shape, 0.0)
    return ((2 * share - 1) * START_LOGIT).astype(np.float32)


def inside_frame(size: Size) -> np.ndarray:
    """[256, 256] bool: the cells of SAM's frame that hold the image."""
    rows, columns = low_res_size(size)
    inside = np.zeros((LOW_RES_SIDE, LOW_RES_SIDE), dtype=bool)
    inside[:rows, :columns] = True
    return inside


def _scale(size: Size) -> float:
    """Cells a pixel."""
    return SAM_SIDE / max(size) / CELL
