"""Labelled examples and images as the Python interface takes them: paths or arrays, one or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.config import ReadingConfig
from gpoa.datasets.image_io import DEFAULT, load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError, ImageError, MaskError

ImageLike = str | Path | np.ndarray


def to_pixels(image: ImageLike, reading: ReadingConfig = DEFAULT) -> np.ndarray:
    """The pixels of a path (of its first page, or of the projection) or an array, [H, W, 3] uint8.

    Raises:
        ImageError: the file cannot be read, or the array is of another kind.
    """
    if not isinstance(image, np.ndarray):
        return load_image(image, reading)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"image array is {image.dtype} {image.shape}; give [H, W, 3] uint8 RGB")
    return image


def zip_shots(
    references: ImageLike | Sequence[ImageLike], masks: ImageLike | Sequence[ImageLike]
) -> list[tuple[ImageLike, ImageLike]]:
    """Pairs images with masks, whether one or several of each are given.

    Raises:
        DataError: their numbers differ, or there are none.
    """
    single = (str, Path, np.ndarray)
    images = [references] if isinstance(references, single) else list(references)
    labels = [masks] if isinstance(masks, single) else list(masks)
    if not images or len(images) != len(labels):
        raise DataError(f"{len(images)} reference images but {len(labels)} masks; give one mask for each image")
    return list(zip(images, labels))


def load_shot(
    image: ImageLike, mask: ImageLike, reading: ReadingConfig = DEFAULT
) -> tuple[np.ndarray, np.ndarray]:
    """Loads one labelled example: ([H, W, 3] uint8, [H, W] bool).

    Raises:
        ImageError, MaskError: a file or an array cannot be used.
    """
    pixels = to_pixels(image, reading)
    size = (pixels.shape[0], pixels.shape[1])
    if not isinstance(mask, np.ndarray):
        return pixels, load_mask(mask, size)
    if mask.shape != size:
        raise MaskError(f"mask array has shape {mask.shape}, its image {size}; give a mask of the image's size")
    label = mask.astype(bool)
    if not label.any() or label.all():
        raise MaskError("mask array is empty or covers the whole image; mark the object and leave some background")
    return pixels, label
