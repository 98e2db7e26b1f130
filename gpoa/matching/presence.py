"""Is the object in the image at all?"""

from __future__ import annotations

import numpy as np

PRESENCE_LEVEL = 0.25


def presence_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The score that at least one target patch must reach, or the object counts as absent.

    Args:
        scores: [R] scores of the reference's own patches.
        labels: [R] bool.

    Returns:
        The value a quarter of the way from the background's mean to the foreground's mean score.
    """
    background, foreground = float(scores[~labels].mean()), float(scores[labels].mean())
    return background + PRESENCE_LEVEL * (foreground - background)
