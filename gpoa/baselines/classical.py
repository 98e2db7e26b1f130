"""Classical controls: what segmentation without any learned model reaches.

Otsu's threshold, a local threshold and Canny edges with filled holes see nothing but grey values, and none of them
knows a reference. The one thing that a reference can decide for them is which side of a threshold the object is on,
so `fit` takes the reading (bright or dark object) whose mask of the reference has the larger IoU. Closed contours
have no such side: Canny has one reading.

All three run on scikit-image, because the random walker of `gpoa.baselines.score_map` needs it anyway. Colours become
grey by its `rgb2gray`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from gpoa.baselines.base import Answer, FrozenModels
from gpoa.datasets.shots import load_shot
from gpoa.errors import DataError, GpoaError

Readings = Callable[[np.ndarray], tuple[np.ndarray, ...]]
"""Grey image [H, W] uint8 -> the masks [H, W] bool of every way to read it."""

BLOCK = 31
"""Side of the local threshold's window in pixels."""
OFFSET = 5
"""Grey levels by which an object differs from its surroundings."""
CANNY = (50, 150)
"""Low and high threshold on the length of Sobel's gradient; a step of h grey levels has 4 h before smoothing."""
CANNY_SIGMA = 1.0
"""Gaussian smoothing before the gradient, in pixels."""


class Classical:
    """A method that reads grey values only.

    Args:
        readings: makes the masks; `fit` decides which of them is meant.
    """

    def __init__(self, readings: Readings) -> None:
        self.readings = readings
        self._chosen: int | None = None

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Takes the reading whose mask of the reference has the largest IoU, the first among equals."""
        pixels, label = load_shot(image, mask)
        found = self.readings(to_grey(pixels))
        self._chosen = int(np.argmax([(one & label).sum() / (one | label).sum() for one in found]))

    def predict(self, image: np.ndarray) -> Answer:
        """Reads another image the same way."""
        if self._chosen is None:
            raise DataError("no reference yet: call fit(image, mask) first")
        return Answer(self.readings(to_grey(image))[self._chosen])


def otsu(models: FrozenModels, seed: int = 0) -> Classical:
    """Otsu's threshold of the whole image (Otsu, IEEE Trans. SMC 9, 1979)."""
    return Classical(otsu_masks)


def adaptive(models: FrozenModels, seed: int = 0) -> Classical:
    """A threshold against the mean of the surroundings."""
    return Classical(adaptive_masks)


def canny(models: FrozenModels, seed: int = 0) -> Classical:
    """Edges, and what they enclose (Canny, IEEE Trans. PAMI 8, 1986)."""
    return Classical(canny_masks)


def to_grey(image: np.ndarray) -> np.ndarray:
    """Grey values of an image.

    Args:
        image: [H, W, 3] uint8 RGB.

    Returns:
        [H, W] uint8; a grey image stored as RGB keeps its values.
    """
    grey = load_skimage("skimage.color").rgb2gray(image)
    return np.rint(grey * 255).astype(np.uint8)


def otsu_masks(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bright and the dark part.

    Args:
        grey: [H, W] uint8.

    Returns:
        Two masks [H, W] bool, each the other's complement; both empty for a constant image.
    """
    if grey.min() == grey.max():
        return np.zeros(grey.shape, dtype=bool), np.zeros(grey.shape, dtype=bool)
    bright = grey > load_skimage("skimage.filters").threshold_otsu(grey)
    return bright, ~bright


def adaptive_masks(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels clearly brighter and those clearly darker than their surroundings.

    The surroundings are a Gaussian mean over the block, its sigma (31 - 1) / 6 pixels; beyond the border the image is
    mirrored. A flat part of the image is in neither mask.

    Args:
        grey: [H, W] uint8.

    Returns:
        Two masks [H, W] bool.
    """
    values = grey.astype(np.float64)
    mean = load_skimage("skimage.filters").threshold_local(values, BLOCK, method="gaussian")
    return values > mean + OFFSET, values < mean - OFFSET


def canny_masks(grey: np.ndarray) -> tuple[np.ndarray]:
    """Edges and what they enclose.

    A contour that runs out of the image encloses nothing, as in every such pipeline.

    Args:
        grey: [H, W] uint8.

    Returns:
        One mask [H, W] bool.
    """
    from scipy import ndimage

    low, high = CANNY
    edges = load_skimage("skimage.feature").canny(grey, CANNY_SIGMA, low, high, mode="nearest")
    # Canny's contours are connected over corners; a hole is what no path of 4-neighbours leads out of.
    return (ndimage.binary_fill_holes(edges),)


def load_skimage(module: str) -> Any:
    """Imports a part of scikit-image.

    Args:
        module: its dotted name.

    Returns:
        The module.

    Raises:
        GpoaError: scikit-image is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise GpoaError(
            f"this method of the benchmark needs scikit-image ({error}); install it: pip install 'gpoa[benchmark]'"
        ) from error
