"""Is the object in the image at all?

A score map always has a maximum, so its own values cannot tell; the plain similarity to the labelled foreground can, if
only roughly. `scripts/calibrate_presence.py` measures how often the answer is wrong.
"""

from __future__ import annotations

import numpy as np

from gpoa.matching.reference import Reference

BEST_PATCHES = 32


def presence(reference: Reference, tokens: np.ndarray) -> float:
    """How similar the target's best patches are to the reference's foreground.

    Args:
        reference: the labelled patches.
        tokens: [P, D] float32 target tokens, unit length.

    Returns:
        Mean, over the target's 32 best patches (fewer where the reference object is smaller), of the cosine similarity
        to the nearest foreground patch; in [-1, 1].
    """
    foreground = reference.tokens[reference.labels]
    nearest = (tokens @ foreground.T).max(axis=1)
    count = min(BEST_PATCHES, len(foreground), len(nearest))
    return float(np.partition(nearest, -count)[-count:].mean())
