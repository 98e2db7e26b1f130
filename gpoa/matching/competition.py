"""Several classes on one image: their log odds, each against the rest of the world, compete for every pixel.

A calibrated prior says the odds of one class against everything else. With the background at odds of one, the
probability of a class among all is its odds over one plus the sum of all odds (a softmax over the log odds, the
background's being 0). One class alone keeps its own probability.

Legend: `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpoa.geometry import resample


def compete(logits: np.ndarray) -> np.ndarray:
    """Log odds of each class against the background and all other classes together.

    Args:
        logits: [C, H, W] float32 log odds of each class against its own background.

    Returns:
        [C, H, W] float32; at most the input, and equal to it for one class.
    """
    rest = np.zeros_like(logits)
    for number in range(len(logits)):
        for other in np.delete(logits, number, axis=0):
            rest[number] = np.logaddexp(rest[number], other)
    return logits - rest


def label_image(masks: Sequence[np.ndarray], logits: np.ndarray) -> np.ndarray:
    """One class for each pixel: the mask that covers it, or of several the class of the highest log odds.

    Args:
        masks: C masks, each [H, W] bool.
        logits: [C, h, w] float32 from `compete`, over the whole image.

    Returns:
        [H, W] uint8: 0 background, else the class's number from 1.
    """
    covered = np.stack(masks)
    labels = np.where(covered.any(axis=0), covered.argmax(axis=0) + 1, 0).astype(np.uint8)
    disputed = covered.sum(axis=0) > 1
    if disputed.any():
        odds = np.stack([resample(one, covered.shape[1:])[disputed] for one in logits])
        labels[disputed] = np.where(covered[:, disputed], odds, -np.inf).argmax(axis=0) + 1
    return labels
