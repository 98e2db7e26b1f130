"""Where to click next, without the truth: the places where what is believed and what the mask says differ most.

What is believed is a probability map: the prior's, or, where there is none, what SAM's own four masks say together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpoa.envs.click_episode import Click, ClickEpisode, ClickState, cells_of, click_at, inside_frame
from gpoa.envs.regions import centre_of, largest_region
from gpoa.geometry import low_res_size
from gpoa.types import Size

KEEP_AWAY = 4
"""Cells around an earlier click in which no other is suggested."""
FIRST_GRID = 4
"""Where nothing is known, SAM is asked at so many times so many points."""


class Suggestion(NamedTuple):
    """A click and the weight of the region that it stands for: the expected number of wrong cells there."""

    click: Click
    weight: float


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Log odds as probabilities."""
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def belief(episode: ClickEpisode, state: ClickState) -> np.ndarray | None:
    """The probability of each cell to be the object, without learning.

    Args:
        episode: its prior is the answer, where it has one.
        state: else SAM's four masks are, weighted by its estimates of their IoU; of a mask that SAM did not make, those
            of a click on its middle.

    Returns:
        [256, 256] float32; None where there is neither prior nor mask.
    """
    if episode.prior is not None:
        return sigmoid(episode.prior).astype(np.float32)
    if state.outputs is None and state.mask.any():
        bare = ClickEpisode(episode.segmenter, episode.embedding)
        state = bare.click(bare.begin(), click_at(*centre_of(state.mask), 1, episode.size))
    if state.outputs is None or state.output_ious is None:
        return None
    weights = np.maximum(state.output_ious, 0.01)
    return np.tensordot(weights / weights.sum(), sigmoid(state.outputs), axes=1).astype(np.float32)


def suggest_clicks(probability: np.ndarray, state: ClickState, size: Size, count: int = 1) -> list[Suggestion]:
    """The centres of the regions where a probability map and the mask disagree.

    Args:
        probability: [256, 256] in [0, 1].
        state: its mask, and the clicks to keep away from.
        size: (H, W) of the image.
        count: at most so many.

    Returns:
        The heaviest regions first, positive clicks where the mask misses something; fewer or none where there is no
        further disagreement.
    """
    sure = np.abs(2 * probability - 1) * inside_frame(size)
    wanted = probability > 0.5
    apart = (wanted != state.mask) & (sure > 0) & ~_near(state.clicks, size)
    found: list[Suggestion] = []
    while len(found) < count:
        parts = [largest_region(apart & (wanted == kind), sure * (wanted == kind)) for kind in (True, False)]
        weight, region = max(parts, key=lambda part: part[0])
        if region is None or weight <= 0:
            break
        row, column = centre_of(region, sure)
        found.append(Suggestion(click_at(row, column, int(wanted[row, column]), size), weight))
        apart &= ~region
    return found


def first_guess(episode: ClickEpisode) -> Click:
    """A first click where nothing is known: of a grid of points the one whose mask SAM is surest of, masks of more than
    half of the image last.

    Args:
        episode: costs 16 decoder calls.
    """
    rows, columns = low_res_size(episode.size)
    steps = (np.arange(FIRST_GRID) + 0.5) / FIRST_GRID
    clicks = [click_at(r * rows - 0.5, c * columns - 0.5, 1, episode.size) for r in steps for c in steps]
    states = episode.click_many(episode.begin(), clicks)
    shares = [state.mask[:rows, :columns].mean() for state in states]
    scores = [state.iou - float(share > 0.5) for state, share in zip(states, shares, strict=True)]
    return clicks[int(np.argmax(scores))]


def _near(clicks: tuple[Click, ...], size: Size) -> np.ndarray:
    """[256, 256] bool: the cells around earlier clicks."""
    y, x = np.mgrid[0:256, 0:256]
    near = np.zeros((256, 256), dtype=bool)
    for row, column in zip(*cells_of(clicks, size), strict=True):
        near |= (y - row) ** 2 + (x - column) ** 2 < KEEP_AWAY**2
    return near
