"""Label images: every object its own number. Reading them where a reference has them, and writing them.

Legend: label images are [H, W] integers, 0 background.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from gpoa.config import ReadingConfig
from gpoa.datasets.image_io import DEFAULT
from gpoa.datasets.mask_io import foreground_of_array, mask_values, read_foreground
from gpoa.datasets.options import NO_OPTIONS, MaskOptions
from gpoa.datasets.shots import ImageLike, to_pixels
from gpoa.errors import DataError
from gpoa.runtime.atomic import write_atomic

CORNERS = np.ones((3, 3))
"""Pixels that touch at a corner are connected."""


def load_labelled(
    image: ImageLike, mask: ImageLike, options: MaskOptions = NO_OPTIONS, reading: ReadingConfig = DEFAULT
) -> tuple[np.ndarray, np.ndarray]:
    """Loads one labelled example with its objects.

    Args:
        image: a path, or [H, W, 3] uint8 RGB.
        mask: a path, or [H, W] bool, integer or float.
        options: what the object is, where the mask's values do not say so.

    Returns:
        (pixels [H, W, 3] uint8, objects [H, W] int32 numbered 1 to n without gaps).

    Raises:
        ImageError, MaskError: a file or an array cannot be used.
    """
    pixels = to_pixels(image, reading)
    size = (pixels.shape[0], pixels.shape[1])
    values: np.ndarray | None
    if isinstance(mask, np.ndarray):
        found, values = foreground_of_array(mask, size, options), mask.reshape(size)
    else:
        found, values = read_foreground(mask, size, options=options), mask_values(mask)
    if values is None or len(found.ids) < 2:
        values = found.mask
    return pixels, objects_of(np.where(found.mask, values, 0))


def objects_of(values: np.ndarray) -> np.ndarray:
    """The objects of a mask's values.

    A label image numbers objects, most of which are in one piece; a mask of classes numbers classes, of which each is
    in many. So where there is one value, or the values have more than twice as many connected parts as there are
    values, the parts are the objects, else the values.

    Args:
        values: [H, W] numbers or bool, 0 background; any numbers, with gaps, above 65,535 too.

    Returns:
        [H, W] int32, 1 to n without gaps.
    """
    distinct, numbers = np.unique(values, return_inverse=True)
    numbers = numbers.reshape(values.shape)
    if distinct[0] != 0:
        distinct, numbers = np.concatenate([[0], distinct]), numbers + 1
    parts, count = np.zeros(values.shape, dtype=np.int32), 0
    for number, window in enumerate(ndimage.find_objects(numbers, len(distinct) - 1), start=1):
        if window is None:
            continue
        some, more = ndimage.label(numbers[window] == number, structure=CORNERS)
        parts[window] = np.where(some > 0, some + count, parts[window])
        count += more
    by_parts = len(distinct) == 2 or count > 2 * (len(distinct) - 1)
    return parts if by_parts else numbers.astype(np.int32)


def save_labels(path: Path, labels: np.ndarray) -> None:
    """Writes a label image atomically: `.png` of 16 bits, or `.tif` of 16 or 32 bits.

    Args:
        path: its suffix chooses.
        labels: [H, W] whole numbers, 0 background.

    Raises:
        ValueError: numbers above 65,535 for a PNG, which has no room for them.
        DataError: the file cannot be written.
    """
    content = io.BytesIO()
    if path.suffix == ".png":
        if labels.max(initial=0) > np.iinfo(np.uint16).max:
            raise ValueError(f"{path}: {labels.max()} objects do not fit into 16 bits; write a .tif")
        Image.fromarray(labels.astype(np.uint16)).save(content, format="PNG")
    else:
        from tifffile import imwrite

        wide = labels.max(initial=0) > np.iinfo(np.uint16).max
        values = labels.astype(np.uint32 if wide else np.uint16)
        imwrite(content, values, compression="zlib", photometric="minisblack", metadata=None)
    write_atomic(path, content.getvalue())


def load_labels(path: Path) -> np.ndarray:
    """A label image as its numbers are, [H, W] integer.

    Raises:
        DataError: the file is no label image.
        MaskError: it cannot be read.
    """
    values = mask_values(path)
    if values is None or (values % 1 != 0).any() or values.min() < 0:
        raise DataError(f"{path}: no label image; whole numbers from 0 are expected, one for each object")
    return values.astype(np.int64)
