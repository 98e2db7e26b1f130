"""Pixels as a file stores them, of any type and number of channels, and how they become 8-bit RGB.

A single channel becomes grey; two become red and green; of three and more, the first three become red, green and blue.
Where the file says that its channels are colours, they share one window (`gpoa.datasets.intensity`), which keeps the
colours; otherwise each channel gets its own, as microscopes' channels need. 8-bit values are taken as they are.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpoa.config import ReadingConfig
from gpoa.datasets.intensity import Window, strips, to_bytes, window_of
from gpoa.errors import ImageError

logger = logging.getLogger(__name__)

MAX_BYTES = 4 << 30
"""A page that takes more than this when it is decoded is refused."""


@dataclass(frozen=True, eq=False)
class Raster:
    """One page of an image file as it is stored, upright.

    Args:
        values: [H, W, C] bool, integer or float.
        kind: what the file is, in a word or two.
        colour: the first three channels are red, green and blue.
        alpha: the last channel is opacity.
        nodata: the value that stands for "no measurement".
        window: (black, white) that the file itself asks for.
        inverted: small values are white.
    """

    values: np.ndarray
    kind: str
    colour: bool = False
    alpha: bool = False
    nodata: float | None = None
    window: Window | None = None
    inverted: bool = False

    @property
    def channels(self) -> int:
        """How many channels there are, opacity not counted."""
        return self.values.shape[2] - int(self.alpha)


def missing(what: str, package: str, extra: str = "science") -> str:
    """What to say where an optional package is not installed."""
    return f"{what} needs the package {package}; run: pip install 'gpoa[{extra}]'"


def check_bytes(shape: Sequence[int], dtype: np.dtype) -> None:
    """Refuses a page that does not fit, before it is decoded.

    Args:
        shape: of the page's values.
        dtype: their type.

    Raises:
        ImageError: decoded, they are larger than `MAX_BYTES`; the message lacks the path.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size > MAX_BYTES:
        form = "x".join(str(length) for length in shape)
        raise ImageError(
            f"one page of {form} {dtype} values takes {size / (1 << 30):.1f} GB, more than {MAX_BYTES >> 30} GB; "
            "scale it down, cut it into tiles, or store fewer channels"
        )


def to_rgb(raster: Raster, reading: ReadingConfig) -> np.ndarray:
    """[H, W, 3] uint8 of a page.

    Args:
        raster: the page.
        reading: which channels, and whether a window is given.

    Raises:
        ImageError: a channel does not exist, the values are complex, or the window has another number of channels; the
            message lacks the path.
    """
    chosen = chosen_channels(raster, reading)
    windows = windows_of(raster, reading)
    made = np.zeros((*raster.values.shape[:2], 3), dtype=np.uint8)
    for place, (channel, window) in enumerate(zip(chosen, windows, strict=True)):
        made[..., place] = _channel_bytes(raster, channel, window)
    if len(chosen) == 1:
        made[..., 1:] = made[..., :1]
    if raster.alpha:
        _lay_on_white(made, raster.values[..., -1])
    return made


def chosen_channels(raster: Raster, reading: ReadingConfig) -> tuple[int, ...]:
    """The channels that become grey, or red, green and blue.

    Raises:
        ImageError: one does not exist.
    """
    count = raster.channels
    if reading.channels:
        check_channels(reading.channels, count)
        return reading.channels
    if count == 2 or (count > 3 or (count == 3 and not raster.colour)):
        say_once(
            f"images of {count} channels: "
            + ("0 and 1 are shown as red and green" if count == 2 else "0, 1 and 2 are shown as red, green and blue")
            + "; --channels chooses others"
        )
    return tuple(range(min(count, 3)))


def check_channels(channels: Sequence[int], count: int) -> None:
    """Refuses channels that an image does not have.

    Raises:
        ImageError: says how many there are; the message lacks the path.
    """
    if max(channels) >= count:
        listed = " ".join(str(channel) for channel in channels)
        have = "one channel, 0" if count == 1 else f"{count} channels, 0 to {count - 1}"
        raise ImageError(f"--channels {listed}: the image has {have}")


def windows_of(raster: Raster, reading: ReadingConfig) -> list[Window | None]:
    """The window of each chosen channel; None where its 8-bit values are taken as they are.

    Raises:
        ImageError: the values are complex, or the given window has another number of channels.
    """
    chosen, values, given = chosen_channels(raster, reading), raster.values, reading.window
    if values.dtype.kind not in "biuf":
        raise ImageError(f"values of type {values.dtype} cannot be shown; store magnitude or real part")
    plain = values.dtype == np.bool_ or (values.dtype == np.uint8 and raster.window is None)
    if plain:
        return [None] * len(chosen)
    if given:
        if len(given) not in (2, 2 * len(chosen)):
            shown = f"{len(chosen)} channels are shown"
            raise ImageError(f"--reading.window has {len(given)} values, but {shown}; give 2 or 2 each")
        pairs: list[Window | None] = list(zip(given[::2], given[1::2], strict=True))
        return pairs if len(pairs) == len(chosen) else pairs * len(chosen)
    if raster.window is not None:
        return [raster.window] * len(chosen)
    if raster.colour:
        return [window_of(values[..., list(chosen)], raster.nodata)] * len(chosen)
    return [window_of(values[..., channel], raster.nodata) for channel in chosen]


@functools.lru_cache(maxsize=64)
def say_once(text: str) -> None:
    """Logs a line, once a process."""
    logger.warning("%s", text)


def _channel_bytes(raster: Raster, channel: int, window: Window | None) -> np.ndarray:
    """[H, W] uint8 of one channel."""
    values = raster.values[..., channel]
    if window is not None:
        return to_bytes(values, window, raster.nodata, raster.inverted)
    plain = values.astype(np.uint8) * 255 if values.dtype == np.bool_ else values
    return 255 - plain if raster.inverted else plain


def _lay_on_white(made: np.ndarray, opacity: np.ndarray) -> None:
    """Lays transparent pixels on white, in place; opacity is [H, W], its type's largest value (float: 1) is opaque."""
    whole = 1.0 if opacity.dtype.kind == "f" else float(np.iinfo(opacity.dtype).max)
    for rows in strips(made.shape):
        share = np.clip(opacity[rows].astype(np.float64) / whole, 0, 1)[..., None]
        made[rows] = np.rint(made[rows] * share + 255 * (1 - share)).astype(np.uint8)
