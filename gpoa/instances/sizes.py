"""How large objects are, as the reference's own objects show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST = 6
"""Parts of fewer pixels are no objects, unless the reference has nothing larger."""
SPREAD = 0.35
"""Least deviation of the logarithm of diameters that is believed, for a reference with one or two objects."""


@dataclass(frozen=True)
class SizeRange:
    """Equivalent diameters in pixels: that of a disc of the object's area.

    Args:
        median: of the reference's objects.
        low, high: their 5 and 95 % quantiles.
        spread: deviation of the natural logarithm.
        count: objects that it was learned from.
    """

    median: float
    low: float
    high: float
    spread: float
    count: int

    def describe(self) -> str:
        """In words."""
        count = f"{self.count} object" + "s" * (self.count != 1)
        return f"{count}, diameters {self.low:.1f} to {self.high:.1f} px, median {self.median:.1f}"

    def scaled(self, factor: float) -> SizeRange:
        """The same objects in an image that is `factor` times as large."""
        return SizeRange(self.median * factor, self.low * factor, self.high * factor, self.spread, self.count)

    def fit(self, area: np.ndarray) -> np.ndarray:
        """How usual sizes are: 1 within the range, falling to 0 on both sides with the distance in deviations.

        Args:
            area: [N] pixels.

        Returns:
            [N] float in [0, 1].
        """
        diameter = np.log(np.maximum(equivalent_diameter(area), 1e-3))
        beyond = np.maximum(np.log(self.low) - diameter, 0) + np.maximum(diameter - np.log(self.high), 0)
        return np.exp(-0.5 * (beyond / self.spread) ** 2)


def equivalent_diameter(area: np.ndarray | float) -> np.ndarray:
    """The diameter of a disc of this area, in the same unit of length."""
    return np.sqrt(4 * np.asarray(area, dtype=np.float64) / np.pi)


def learn_sizes(labels: Sequence[np.ndarray]) -> SizeRange:
    """The sizes of the objects of one or more references.

    Args:
        labels: [H, W] integers of each, 0 background, any other number an object; at least one object in all.

    Returns:
        The range; objects cut by the border count, for of few objects many may be.

    Raises:
        ValueError: there is no object.
    """
    counts = [np.unique(one[one != 0], return_counts=True)[1] for one in labels]
    areas = np.concatenate(counts) if counts else np.empty(0)
    if not len(areas):
        raise ValueError("labels: hold no object")
    areas = areas[areas >= min(SMALLEST, areas.max())]
    diameters = equivalent_diameter(areas)
    low, median, high = np.quantile(diameters, [0.05, 0.5, 0.95])
    spread = max(SPREAD, float(np.log(diameters).std()))
    return SizeRange(float(median), float(low), float(high), spread, len(areas))
