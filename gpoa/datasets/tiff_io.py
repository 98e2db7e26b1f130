"""TIFF of every kind through `tifffile`: BigTIFF, tiled, planar or interleaved, OME and ImageJ stacks, any numbers.

A page is one plane of rows and columns with all its channels; the axes of time, depth, position and the like are
pages in the order of the file. 8-bit colour, palette, CMYK and YCbCr pages are left to Pillow,
which knows what they look like.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.raster import Raster, check_bytes, missing
from gpoa.errors import ImageError
from gpoa.types import Size

GDAL_NODATA, ORIENTATION = 42113, 274
ALPHA = (1, 2)
"""ExtraSamples: associated and unassociated alpha."""
PILLOWS = ("PALETTE", "SEPARATED", "YCBCR", "CIELAB", "ICCLAB", "MASK")
"""Photometric interpretations that are more than numbers."""
NARROW = 6
"""A page of so few columns is a row of a picture whose writer took the channels for columns."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One page of a TIFF.

    Args:
        series: tifffile's series that it belongs to.
        outer: (axis, length) of the series' axes around those of a stored page.
        inner: (axis, length) of a stored page's axes.
        place: index on every axis that is no row, column or channel, in their order.
    """

    series: Any
    outer: tuple[tuple[str, int], ...]
    inner: tuple[tuple[str, int], ...]
    place: tuple[int, ...]


def count_tiff(path: Path) -> int:
    """Pages of a TIFF.

    Raises:
        ImageError, ValueError, OSError: the file cannot be parsed.
    """
    with _opened(path) as file:
        return len(_planes(file))


def tiff_size(path: Path) -> Size:
    """(H, W) of the first page as stored, before its orientation is applied, and the orientation.

    Raises:
        ImageError, ValueError, OSError: the file cannot be parsed.
    """
    with _opened(path) as file:
        plane = _planes(file)[0]
        sizes = dict(plane.outer + plane.inner)
        height, width = sizes["Y"], sizes["X"]
        return (width, height) if _orientation(plane.series.pages[0]) >= 5 else (height, width)


def read_tiff(path: Path, number: int, raw: bool = False) -> Raster | int:
    """One page of a TIFF.

    Args:
        path: the file.
        number: of the page, from 0.
        raw: also read what Pillow could.

    Returns:
        The page; or, where Pillow reads it right, its place in the file as Pillow counts.

    Raises:
        ImageError: there is no such page, it is too large, or its compression needs a package.
        ValueError, OSError: the file cannot be parsed.
    """
    with _opened(path) as file:
        planes = _planes(file)
        if number >= len(planes):
            raise ImageError(f"there is no page {number}; the file has {len(planes)}, from 0")
        plane = planes[number]
        first = plane.series.pages[0]
        simple = dict(plane.outer).get("C", 1) == 1 and {axis for axis, _ in plane.inner} <= set("YXS")
        if simple and not raw and _is_pillows(first):
            page = plane.series.pages[number_in_series(plane)]
            return int(page.index if page is not None else 0)
        sizes = [length for axis, length in plane.outer + plane.inner if axis in "YXSC"]
        check_bytes(sizes, first.dtype)
        try:
            values = _values(file, path, plane)
        except (ValueError, ImportError) as error:
            if "imagecodecs" in str(error):
                raise ImageError(missing(f"{first.compression.name} compression in TIFF", "imagecodecs")) from error
            raise
        return _raster(first, values, file)


def number_in_series(plane: Plane) -> int:
    """Place of a plane's first stored page among the pages of its series."""
    outer = [(axis, length) for axis, length in plane.outer]
    indices, places = [], iter(plane.place)
    for axis, _ in outer:
        indices.append(0 if axis == "C" else next(places))
    return int(np.ravel_multi_index(indices, [length for _, length in outer])) if outer else 0


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The parsed file; tifffile's own log, which repeats what its errors say, is kept quiet."""
    import tifffile

    log = logging.getLogger("tifffile")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
    with tifffile.TiffFile(path, _multifile=False) as file:
        yield file


def _planes(file: Any) -> list[Plane]:
    """All pages, reduced copies, masks and the small pictures of a slide's label left out."""
    found: list[Plane] = []
    for number, series in enumerate(file.series):
        first = series.pages[0]
        if first is None or (number and (first.is_reduced or first.is_mask or file.is_svs)):
            continue
        outer, inner = _axes(series)
        lengths = [length for axis, length in outer + inner if axis not in "YXSC"]
        found += [Plane(series, outer, inner, tuple(map(int, place))) for place in np.ndindex(*lengths)]
    if not found:
        raise ImageError("the file holds no page")
    # A plain file's pages may be grouped by size; their order in the file is the one that everybody knows.
    plain = all(not plane.outer or plane.series.kind in ("generic", "uniform") for plane in found)
    if plain and len({id(plane.series) for plane in found}) > 1:
        found.sort(key=lambda plane: plane.series.pages[number_in_series(plane)].index)
    return found


def _axes(series: Any) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """(axes around a stored page, axes of a stored page), without those of length 1 other than rows and columns."""
    whole = _kept(series.get_axes(False), series.get_shape(False))
    inner = _kept(series.pages[0].axes, series.pages[0].shape)
    if "".join(axis for axis, _ in whole) == "QYX" and _is_narrow([length for _, length in whole]):
        lengths = [length for _, length in whole]
        return (), (("Y", lengths[0]), ("X", lengths[1]), ("S", lengths[2]))
    outer = whole[: len(whole) - len(inner)]
    if [length for _, length in whole[len(outer) :]] != [length for _, length in inner]:
        outer = (("I", len(series.pages)),)
    return outer, inner


def _kept(axes: str, shape: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((axis, int(length)) for axis, length in zip(axes, shape, strict=True) if length > 1 or axis in "YX")


def _is_narrow(lengths: list[int]) -> bool:
    """[H, W, C] values that were written without saying so become H pages of W x C; no picture is so narrow."""
    height, width, channels = lengths
    return channels <= NARROW and min(height, width) >= 2 * channels


def _is_pillows(page: Any) -> bool:
    """Whether Pillow shows a page as it is meant."""
    if page.photometric.name in PILLOWS:
        return True
    if page.dtype is None or page.dtype.kind == "b" or page.bitspersample < 8:
        return True
    if page.dtype != np.uint8:
        return False
    colours = 3 if page.photometric.name == "RGB" else 1
    extra = tuple(int(sample) for sample in page.extrasamples)
    return page.samplesperpixel <= colours + 1 and (colours == 3 or not extra or extra[0] in ALPHA)


def _values(file: Any, path: Path, plane: Plane) -> np.ndarray:
    """[H, W, C] of a page, as stored."""
    series, axes = plane.series, plane.outer + plane.inner
    places = iter(plane.place)
    index = {axis_number: next(places) for axis_number, (axis, _) in enumerate(axes) if axis not in "YXSC"}
    if series.dataoffset is not None:
        shape = tuple(length for _, length in axes)
        dtype = series.dtype.newbyteorder(file.byteorder)
        stored = np.memmap(path, dtype=dtype, mode="r", offset=series.dataoffset, shape=shape)
        part = stored[tuple(index.get(number, slice(None)) for number in range(len(axes)))]
        return _channels_last(np.array(part), [axis for axis, _ in axes if axis in "YXSC"])
    outer = [length for _, length in plane.outer]
    channels = next((length for axis, length in plane.outer if axis == "C"), 1)
    inner = tuple(index.get(len(outer) + number, slice(None)) for number in range(len(plane.inner)))
    made = []
    for channel in range(channels):
        at = [index.get(number, channel) for number in range(len(outer))]
        page = series.pages[int(np.ravel_multi_index(at, outer)) if outer else 0]
        if page is None:
            raise ImageError("a channel of this page is missing in the file")
        stored = page.asarray().reshape([length for _, length in plane.inner])[inner]
        made.append(_channels_last(stored, [axis for axis, _ in plane.inner if axis in "YXSC"]))
    return made[0] if channels == 1 else np.concatenate(made, axis=2)


def _channels_last(values: np.ndarray, axes: list[str]) -> np.ndarray:
    """[H, W, C] of an array with these axes, in the machine's byte order."""
    order = [axes.index("Y"), axes.index("X"), *(number for number, axis in enumerate(axes) if axis in "SC")]
    values = values.transpose(order)
    channels = math.prod(values.shape[2:])
    return values.reshape(*values.shape[:2], channels).astype(values.dtype.newbyteorder("="), copy=False)


def _raster(page: Any, values: np.ndarray, file: Any) -> Raster:
    """A page's values with what its tags say of them."""
    extra = [int(sample) for sample in page.extrasamples]
    colour = page.photometric.name == "RGB" and values.shape[2] >= 3
    nodata = page.tags.get(GDAL_NODATA)
    kinds = [name for name in ("ome", "imagej") if getattr(file, f"is_{name}")]
    return Raster(
        upright(values, _orientation(page)),
        " ".join([*kinds, "bigtiff" if file.is_bigtiff else "tiff"]),
        colour=colour,
        alpha=bool(extra) and extra[-1] in ALPHA and values.shape[2] == page.samplesperpixel,
        nodata=None if nodata is None else _number(nodata.value),
        inverted=page.photometric.name == "MINISWHITE",
    )


def _number(text: Any) -> float | None:
    """A tag's text as a number."""
    try:
        return float(str(text).strip().strip("\0"))
    except ValueError:
        return None


def _orientation(page: Any) -> int:
    """The orientation tag; 1 is upright."""
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Values of an EXIF orientation, turned so that they stand upright.

    Args:
        values: [H, W, C].
        orientation: 1 to 8.

    Returns:
        [H, W, C], or [W, H, C] for 5 to 8.
    """
    values = values.swapaxes(0, 1) if orientation >= 5 else values
    # After the exchange, 5 to 8 need the flips of these.
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        orientation
    ]
    return values[::rows, ::columns]
