"""Where objects are: peaks of the distance transform of the prior's probability, at several levels, and the watershed
between them.

One threshold joins what touches. The mean of the distance transforms at several levels has a valley wherever the prior
is less sure between two objects, or where the outline has a neck; a peak counts where it rises above the saddle to its
neighbour by a share of its own height, whatever that is, so that small objects beside large ones keep their seed.

Legend: `H, W` rows and columns of the grid that the probability lives on; `N` seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gpoa.errors import ModelError

LEVELS = (0.35, 0.5, 0.65, 0.8, 0.9)
"""Probabilities at which distances are taken."""
FOREGROUND = 0.5
PROMINENCE = 0.12
"""A peak counts where it is higher than the saddle to a higher one by this share of its own height."""
LEAST_PART = 12
"""A part of fewer cells of the prior's map may be noise."""
SMOOTHING = 0.06
"""Deviation that smooths the height, as a share of the median diameter."""


@dataclass(frozen=True, eq=False)
class Seeds:
    """The objects of a probability map, before the segmenter is asked.

    Args:
        xy: [N, 2] float (x, y) of the peaks, in cells of the grid.
        cells: [H, W] int32, 1 to N: the pixels above one half that belong to each; a cell may be empty.
        territories: [H, W] int32, 1 to N everywhere (0 without a seed): the zone in which each seed is the nearest.
    """

    xy: np.ndarray
    cells: np.ndarray
    territories: np.ndarray


def find_seeds(probability: np.ndarray, diameter: float, prominence: float = PROMINENCE) -> Seeds:
    """Seeds and the watershed between them.

    Args:
        probability: [H, W] float in [0, 1].
        diameter: median diameter of the objects, in cells of the grid.
        prominence: see `PROMINENCE`.

    Returns:
        The seeds, in reading order.

    Raises:
        ModelError: scikit-image is not installed.
    """
    height = soft_height(probability, max(0.5, SMOOTHING * diameter))
    markers, count = _peaks(height, prominence)
    if count == 0:
        nothing = np.zeros(probability.shape, dtype=np.int32)
        return Seeds(np.empty((0, 2)), nothing, nothing)
    territories = _morphology("segmentation").watershed(-height - probability, markers).astype(np.int32)
    centres = ndimage.center_of_mass(np.ones_like(height), markers, np.arange(1, count + 1))
    xy = np.asarray(centres, dtype=np.float64)[:, ::-1]
    return Seeds(xy, np.where(probability >= FOREGROUND, territories, 0), territories)


def count_parts(logits: np.ndarray) -> int:
    """In how many parts of at least `LEAST_PART` cells a map of log odds falls apart.

    Args:
        logits: [H, W] float; above 0 is foreground.
    """
    parts, count = ndimage.label(logits > 0)
    return int((np.bincount(parts.reshape(-1), minlength=count + 1)[1:] >= LEAST_PART).sum())


def soft_height(probability: np.ndarray, sigma: float) -> np.ndarray:
    """How deep inside of objects each cell lies, in cells: the mean over `LEVELS`, smoothed.

    Args:
        probability: [H, W] float in [0, 1].
        sigma: of the smoothing, in cells.

    Returns:
        [H, W] float32, 0 well outside of objects. The image's border is no outline.
    """
    padded = np.pad(probability, 1, mode="edge")
    total = np.zeros(padded.shape, dtype=np.float32)
    for level in LEVELS:
        above = padded >= level
        if above.all():
            total += max(padded.shape)
        elif above.any():
            total += ndimage.distance_transform_edt(above).astype(np.float32)
    return ndimage.gaussian_filter(total / len(LEVELS), sigma)[1:-1, 1:-1]


def _peaks(height: np.ndarray, prominence: float) -> tuple[np.ndarray, int]:
    """Numbered peaks: where the height is maximal once all lesser rises are filled."""
    if height.max() <= 0:
        return np.zeros(height.shape, dtype=np.int32), 0
    least = 0.3  # below this many cells there is nothing
    logarithm = np.log(np.maximum(height, least))
    step = -np.log1p(-prominence)
    filled = _morphology("morphology").reconstruction(logarithm - step, logarithm)
    # Around it lies lower ground, so that one object over the whole image is a peak, too.
    around = np.pad(np.round(filled, 5), 1, constant_values=-np.inf)
    flat = _morphology("morphology").local_maxima(around)[1:-1, 1:-1] & (height > least)
    return ndimage.label(flat, structure=np.ones((3, 3)))


def _morphology(name: str):
    """A module of scikit-image."""
    try:
        import importlib

        return importlib.import_module(f"skimage.{name}")
    except ImportError as error:
        raise ModelError(MISSING) from error


MISSING = "objects one by one need scikit-image: pip install 'gpoa[instances]'"
