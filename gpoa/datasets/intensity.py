"""Which value of a picture of more than 8 bits becomes black and which becomes white.

The window runs from the smallest to the largest value, without three kinds of values:

- nodata: NaN, infinities, finite values beyond 1e30, the value that the file names (GDAL's tag, DICOM's padding), or
  else a negative lowest value that lies far below all others, as -9999 and -32768 do;
- outliers: values farther than a quarter of the range between the .1 and the 99.9 percentile outside that range, ...
- ... unless four pixels in a square share them: a hot pixel is alone, the smallest object is not.

So a picture without outliers is stretched from its smallest to its largest value, and one hot pixel changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Window = tuple[float, float]
"""(value of black, value of white)."""

SHARE = 1000
"""One value in so many, at each end, may be an outlier."""
FEW = 100
"""With fewer values than this, no value is counted as an outlier."""
MARGIN = 0.25
"""Values nearer to the percentiles than this share of their distance are no outliers."""
HUGE = 1e30
"""Floating-point values beyond this are fillings, not measurements."""
FILLINGS = frozenset({-999.0, -9999.0, -99999.0, -32767.0, -32768.0, -2147483648.0})
"""Lowest values that programs write where there is no measurement."""
SAMPLED = 4_000_000
"""Percentiles of more values than this are taken from a sample."""
STRIP = 1 << 22
"""Pixels that are converted at a time."""


def window_of(values: np.ndarray, nodata: float | None = None) -> Window:
    """The window of a picture by the rules of this module.

    Args:
        values: [H, W] or [H, W, C], integer or float; channels share the window.
        nodata: the value that the file names as "no measurement".

    Returns:
        (black, white); equal where the picture is constant or holds no measurement.
    """
    values = values.astype(np.float32) if values.dtype == np.float16 else values
    valid = valid_of(values, nodata)
    used = values[valid]
    if used.size == 0:
        return 0.0, 0.0
    low, high = _percentiles(used)
    if low == high:
        return float(used.min()), float(used.max())
    margin = MARGIN * (high - low)
    floor, ceiling = low - margin, high + margin
    inside = used[(used >= floor) & (used <= ceiling)]
    low, high = float(inside.min()), float(inside.max())
    below, above = valid & (values < floor), valid & (values > ceiling)
    low = min([low, *(float(corner.max(axis=0).min()) for corner in _squares(values, below))])
    high = max([high, *(float(corner.min(axis=0).max()) for corner in _squares(values, above))])
    return low, high


def valid_of(values: np.ndarray, nodata: float | None = None) -> np.ndarray:
    """Where a picture holds measurements.

    Args:
        values: integer or float, any shape.
        nodata: the value that the file names; None looks for one.

    Returns:
        bool, the same shape.
    """
    valid = np.ones(values.shape, dtype=bool)
    if values.dtype.kind == "f":
        valid = np.isfinite(values) & (np.abs(values) < HUGE)
    if nodata is None:
        nodata = _filling(values[valid])
    if nodata is not None and np.isfinite(nodata):
        valid &= values != nodata
    return valid


def to_bytes(values: np.ndarray, window: Window, nodata: float | None = None, inverted: bool = False) -> np.ndarray:
    """A channel as 8 bits.

    Args:
        values: [H, W] integer or float.
        window: values up to the first become 0, from the second on 255, linear between; equal: all become 0.
        nodata: this value, NaN and fillings become 0.
        inverted: the first of the window is white.

    Returns:
        [H, W] uint8.
    """
    low, high = window
    made = np.zeros(values.shape, dtype=np.uint8)
    if high <= low:
        return made
    for rows in strips(values.shape):
        part = values[rows].astype(np.float64)
        empty = np.isnan(part) | (np.isfinite(part) & (np.abs(part) >= HUGE))
        if nodata is not None:
            empty |= values[rows] == nodata
        part[empty] = low
        grey = np.rint((np.clip(part, low, high) - low) / (high - low) * 255).astype(np.uint8)
        grey = 255 - grey if inverted else grey
        grey[empty] = 0
        made[rows] = grey
    return made


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows of at most `STRIP` pixels, so that conversions need little memory beside the picture."""
    height = max(1, STRIP // max(1, shape[1]))
    for top in range(0, shape[0], height):
        yield slice(top, min(top + height, shape[0]))


def _percentiles(used: np.ndarray) -> Window:
    """The .1 and the 99.9 percentile, which are values of the picture; the extremes where there are few values."""
    step = used.size // SAMPLED
    sample = used[:: step | 1] if step else used  # an odd step meets all columns of a picture of even width
    skip = max(sample.size // SHARE, 1) if sample.size >= FEW else 0
    ends = np.partition(sample, (skip, sample.size - 1 - skip))
    return float(ends[skip]), float(ends[sample.size - 1 - skip])


def _filling(used: np.ndarray) -> float | None:
    """A negative lowest value that lies so far below all others that it cannot be a measurement."""
    if used.size < 2 or used.dtype.kind not in "if" or not used.min() < 0:
        return None
    lowest = used.min()
    rest = used[used > lowest]
    if rest.size == 0:
        return None
    low, high = _percentiles(rest)
    gap, known = float(rest.min()) - float(lowest), float(lowest) in FILLINGS
    far = (high - low) * (0.1 if known else 1.5)
    return float(lowest) if gap > far and (known or high > low) else None


def _squares(values: np.ndarray, where: np.ndarray) -> list[np.ndarray]:
    """[4, K] the values of every 2 x 2 square that lies within `where`; an empty list where none does."""
    if not where.any():
        return []
    corners = [(slice(None, -1), slice(None, -1)), (slice(1, None), slice(None, -1))]
    corners += [(slice(None, -1), slice(1, None)), (slice(1, None), slice(1, None))]
    whole = np.logical_and.reduce([where[corner] for corner in corners])
    return [np.stack([values[corner][whole] for corner in corners])] if whole.any() else []
