"""Number of clicks (NoC): how many clicks an agent that corrects a mask needs to reach a quality.

Convention of interactive segmentation (Sofiiuk et al. 2022, "Reviving iterative training with mask guidance"): at most
20 clicks are made, and an image that never reaches the quality counts as that limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LIMIT = 20
"""Clicks after which the usual protocol stops."""


class Clicks(NamedTuple):
    """Clicks to a target over several images: mean number, and the share of images that never reached it."""

    mean: float
    failed: float


def number_of_clicks(ious_per_click: Sequence[float], target: float, limit: int = LIMIT) -> int:
    """Clicks until a mask first reaches a quality; that later clicks may spoil it again does not matter.

    Args:
        ious_per_click: IoU in [0, 1] after the first, second, ... click; may be shorter or longer than `limit`.
        target: the IoU to reach, in (0, 1]; 0.85 and 0.9 are usual.
        limit: clicks after the limit do not count.

    Returns:
        1 to `limit`; `limit` also where the target is never reached.

    Raises:
        ValueError: a value is out of range or not finite.
    """
    values = _checked(ious_per_click, target, limit)
    reached = np.flatnonzero(values >= target)
    return int(reached[0]) + 1 if reached.size else limit


def mean_clicks(runs: Sequence[Sequence[float]], target: float, limit: int = LIMIT) -> Clicks:
    """Mean number of clicks over images.

    Args:
        runs: for each image its `ious_per_click`.
        target: as in `number_of_clicks`.
        limit: likewise.

    Returns:
        The mean, and the share of images in [0, 1] that do not reach the target within the limit.

    Raises:
        ValueError: there is no image, or a value is out of range.
    """
    if len(runs) == 0:
        raise ValueError("runs: one or more images are needed")
    clicks = [number_of_clicks(run, target, limit) for run in runs]
    failed = [not (_checked(run, target, limit) >= target).any() for run in runs]
    return Clicks(float(np.mean(clicks)), float(np.mean(failed)))


def _checked(ious_per_click: Sequence[float], target: float, limit: int) -> np.ndarray:
    """The IoUs up to the limit."""
    values = np.asarray(ious_per_click, dtype=np.float64).reshape(-1)
    if not (np.isfinite(values).all() and ((values >= 0) & (values <= 1)).all()):
        raise ValueError("ious_per_click: every IoU must lie in [0, 1]")
    if not 0 < target <= 1:
        raise ValueError(f"target: must lie in (0, 1], got {target}")
    if limit < 1:
        raise ValueError(f"limit: at least 1 click is needed, got {limit}")
    return values[:limit]
