"""Clicks that know the truth: for training, for the first click of an episode, and as the upper control. Nothing that
acts at inference imports this.

The rule is the usual one of interactive segmentation (Sofiiuk et al. 2022, "Reviving iterative training with mask
guidance"): the centre of the largest region in which mask and truth differ.
"""

from __future__ import annotations

import numpy as np

from gpoa.envs.click_episode import Click, click_at, inside_frame
from gpoa.envs.regions import centre_of, largest_region
from gpoa.geometry import to_low_res_frame
from gpoa.types import Size


def truth_frame(truth: np.ndarray) -> np.ndarray:
    """A true mask [H, W] bool in SAM's low-resolution frame: [256, 256] bool."""
    return to_low_res_frame(truth.astype(np.float32), truth.shape, 0.0) > 0.5


def oracle_click(truth: np.ndarray, mask: np.ndarray, size: Size) -> Click | None:
    """The next click of the oracle.

    Args:
        truth: [256, 256] bool (`truth_frame`).
        mask: [256, 256] bool.
        size: (H, W) of the image.

    Returns:
        The centre of the largest region of error, positive where the mask misses something; None where they are equal.
    """
    wrong = (truth != mask) & inside_frame(size)
    found = [largest_region(wrong & (truth == kind), wrong & (truth == kind)) for kind in (True, False)]
    best, label = (found[0], 1) if found[0][0] >= found[1][0] else (found[1], 0)
    if best[1] is None:
        return None
    row, column = centre_of(best[1])
    return click_at(row, column, label, size)
