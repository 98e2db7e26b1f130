"""Is the object in the image at all?

A score map always has a maximum, so its own values cannot tell; the plain similarity to the labelled foreground can, if
only roughly. `scripts/calibrate_presence.py` measures how often the answer is wrong.
"""

from __future__ import annotations

import numpy as np

from gpoa.matching.reference import Reference
from gpoa.types import ScoreMap

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


def sureness(score_map: ScoreMap) -> float:
    """How sure the prior is of what it calls foreground.

    Args:
        score_map: of the target.

    Returns:
        The mean probability of a pixel, weighted by the probability itself, in [0, 1]; 0 for a map that is not the
        prior's.
    """
    if score_map.detail is None:
        return 0.0
    probability = 1 / (1 + np.exp(-score_map.detail))
    return float((probability * probability).sum() / max(float(probability.sum()), 1e-6))
