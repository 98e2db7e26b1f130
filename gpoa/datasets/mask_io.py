"""Reading masks of any common kind, and writing them. Sizes are (H, W); the EXIF orientation is applied."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from gpoa.datasets.image_io import open_picture
from gpoa.datasets.mask_values import foreground_of, label_values
from gpoa.errors import MaskError
from gpoa.runtime.atomic import write_atomic
from gpoa.types import Size

LOSSY_FORMATS = frozenset({"JPEG", "MPO"})
"""Formats that change pixel values. (WebP and AVIF may, but their masks are usually lossless.)"""


def load_mask(
    path: Path | str,
    image_size: Size | None = None,
    allow_empty: bool = False,
    label: int | None = None,
    allow_full: bool | None = None,
) -> np.ndarray:
    """Reads a mask; `gpoa.datasets.mask_values` says which pixels are foreground.

    Args:
        path: the file: 1-bit, palette, grey of 8, 16 or 32 bits, float, RGB, or with alpha.
        image_size: (H, W) of the image that the mask belongs to; None does not check.
        allow_empty: accept a mask without foreground.
        label: take the pixels of this grey value or palette index only.
        allow_full: accept a mask without background; None means: as `allow_empty`.

    Returns:
        [H, W] bool.

    Raises:
        MaskError: the file cannot be read, has another size than its image, or has no foreground or no background.
    """
    path = Path(path)
    picture = open_picture(path, MaskError)
    mask = _decode_mask(path, picture, label)
    if image_size is not None and mask.shape != tuple(image_size):
        raise MaskError(_size_message(path, mask.shape, image_size))
    if not allow_empty and not mask.any():
        raise MaskError(_empty_message(path, picture, label))
    if not (allow_empty if allow_full is None else allow_full) and mask.all():
        raise MaskError(
            f"{path}: the mask covers the whole image; gpoa needs background too: mark the object only, with 0 around it"
        )
    return mask


def save_mask(path: Path | str, mask: np.ndarray) -> None:
    """Writes a mask as a grey PNG of 0 and 255, atomically; the folder is made.

    Args:
        path: the file; the content is PNG whatever its suffix.
        mask: [H, W] bool.

    Raises:
        ValueError: the mask is not [H, W] bool.
        DataError: the file cannot be written.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask: expected [H, W] bool, got {mask.shape} {mask.dtype}; threshold it first")
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, format="PNG")
    write_atomic(Path(path), buffer.getvalue())


def _decode_mask(path: Path, picture: Image.Image, label: int | None) -> np.ndarray:
    """[H, W] bool, with a MaskError where the label cannot be looked up."""
    try:
        return foreground_of(picture, label, lossy=picture.format in LOSSY_FORMATS)
    except (ValueError, OSError) as error:
        raise MaskError(f"{path}: {error}") from error


def _size_message(path: Path, mask_size: Size, size: Size) -> str:
    """What to say of a mask of another size than its image."""
    found, wanted = f"{mask_size[1]}x{mask_size[0]}", f"{size[1]}x{size[0]}"
    remedy = "give the mask of this image, or resize it with nearest-neighbour interpolation"
    if tuple(mask_size) == tuple(size)[::-1]:
        remedy = "the image's EXIF orientation turns it by 90 degrees: turn the mask too"
    return f"{path}: the mask is {found} but its image is {wanted} (width x height, upright); {remedy}"


def _empty_message(path: Path, picture: Image.Image, label: int | None) -> str:
    """What to say of a mask without foreground."""
    if label is None:
        return f"{path}: the mask is empty, no pixel is foreground; mark the object with non-zero values (255) on 0"
    present = ", ".join(f"{value:g}" for value in np.unique(label_values(picture))[:12])
    return f"{path}: no pixel has the label {label}; the mask holds {present}: choose one of these"
