"""Reading masks of any common kind, and writing them. Sizes are (H, W); the EXIF orientation is applied."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gpoa.datasets.image_io import open_picture
from gpoa.datasets.mask_values import Foreground, foreground_of, foreground_of_values, label_values
from gpoa.datasets.options import NO_OPTIONS, MaskOptions
from gpoa.errors import MaskError, one_line
from gpoa.runtime.atomic import write_atomic
from gpoa.types import Size

LOSSY_FORMATS = frozenset({"JPEG", "MPO"})
"""Formats that change pixel values. (WebP and AVIF may, but their masks are usually lossless.)"""


def load_mask(
    path: Path | str,
    image_size: Size | None = None,
    allow_empty: bool = False,
    options: MaskOptions = NO_OPTIONS,
    allow_full: bool | None = None,
) -> np.ndarray:
    """Reads a mask; `gpoa.datasets.mask_values` says which pixels are foreground.

    Args:
        path: the file: 1-bit, palette, grey of 8, 16 or 32 bits, float, RGB, or with alpha; or a NumPy array (.npy).
        image_size: (H, W) of the image that the mask belongs to; None does not check.
        allow_empty: accept a mask without foreground.
        options: what the object is, where the values do not say so.
        allow_full: accept a mask without background; None means: as `allow_empty`.

    Returns:
        [H, W] bool.

    Raises:
        MaskError: the file cannot be read, has another size than its image, or has no foreground or no background.
    """
    return read_foreground(path, image_size, allow_empty, options, allow_full).mask


def read_foreground(
    path: Path | str,
    image_size: Size | None = None,
    allow_empty: bool = False,
    options: MaskOptions = NO_OPTIONS,
    allow_full: bool | None = None,
) -> Foreground:
    """`load_mask`, and which rule said what is foreground; arguments and errors are the same."""
    path = Path(path)
    stored = _open_values(path)
    try:
        found = _foreground(stored, options)
    except (ValueError, OSError) as error:
        raise MaskError(f"{path}: {error}") from error
    if image_size is not None and found.mask.shape != tuple(image_size):
        raise MaskError(_size_message(path, found.mask.shape, image_size))
    allow_full = allow_empty if allow_full is None else allow_full
    refuse_extremes(str(path), found.mask, _values_of(stored), options, allow_empty, allow_full)
    return found


def mask_values(path: Path | str) -> np.ndarray | None:
    """The numbers that a mask file holds, [H, W]; None where it is coloured.

    Raises:
        MaskError: the file cannot be read.
    """
    return _values_of(_open_values(Path(path)))()


def foreground_of_array(values: np.ndarray, image_size: Size, options: MaskOptions = NO_OPTIONS) -> Foreground:
    """The foreground of a mask in memory.

    Args:
        values: [H, W] (or [H, W, 1], [1, H, W]) bool, integer or float.
        image_size: (H, W) of its image.
        options: what the object is, where the values do not say so.

    Raises:
        MaskError: another shape, other values, or no foreground or no background.
    """
    try:
        values = _plane(values)
    except ValueError as error:
        raise MaskError(f"mask array: {error}") from error
    if values.shape != tuple(image_size):
        raise MaskError(
            f"mask array has shape {values.shape}, its image {tuple(image_size)}; give a mask of the image's size"
        )
    found = foreground_of_values(values, options)
    refuse_extremes("mask array", found.mask, lambda: values, options)
    return found


def refuse_extremes(
    name: str,
    mask: np.ndarray,
    values: Callable[[], np.ndarray | None],
    options: MaskOptions,
    allow_empty: bool = False,
    allow_full: bool = False,
) -> None:
    """Refuses a mask without foreground and one without background.

    Args:
        name: of the mask, for the message.
        mask: [H, W] bool.
        values: gives what the mask was made from, or None where its pixels are no single values.
        options: what the user chose.
        allow_empty, allow_full: accept the one, the other.

    Raises:
        MaskError: says which values there are and which flags choose among them.
    """
    if not allow_empty and not mask.any():
        raise MaskError(f"{name}: {_empty_message(values(), options)}")
    if not allow_full and mask.all():
        raise MaskError(f"{name}: {_full_message(values(), options)}")


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


def _open_values(path: Path) -> Image.Image | np.ndarray:
    """The file as a picture, or as [H, W] numbers where Pillow does not know them."""
    if path.suffix.lower() == ".npy":
        return _load_array(path)
    try:
        picture = open_picture(path, MaskError)
    except MaskError:
        # 64-bit and 16-bit float TIFF, as array libraries write them.
        values = _load_tiff(path) if path.suffix.lower() in (".tif", ".tiff") and path.is_file() else None
        if values is None:
            raise
        return values
    if picture.mode == "1" and picture.format == "TIFF" and _is_white_zero(path):
        inverted = ImageOps.invert(picture)
        inverted.format = picture.format
        return inverted
    return picture


def _load_array(path: Path) -> np.ndarray:
    """[H, W] of an .npy file."""
    try:
        return _plane(np.load(path, allow_pickle=False))
    except FileNotFoundError as error:
        raise MaskError(f"{path}: no such file; check the path") from error
    except (OSError, ValueError, EOFError) as error:
        raise MaskError(f"{path}: not a mask array ({one_line(error)}); save it as [H, W] with numpy.save") from error


def _load_tiff(path: Path) -> np.ndarray | None:
    """[H, W] of the first page of a TIFF; None where `tifffile` is missing or cannot read it either."""
    try:
        from tifffile import imread

        return _plane(imread(path, key=0))
    except Exception:  # its readers raise many kinds for damaged bytes; Pillow's message stands
        return None


def _is_white_zero(path: Path) -> bool:
    """Whether a 1-bit TIFF says that 0 is white though its bits are an array's: 1 is True.

    Array libraries store booleans as they are and call that "white is zero", so a picture reader turns them round. Fax
    compressions (2 to 4) are scans and programs that do paint the object black, and are read as they look.
    """
    with Image.open(path) as picture:
        photometric, compression = picture.tag_v2.get(262), picture.tag_v2.get(259, 1)
    return photometric == 0 and compression not in (2, 3, 4)


def _plane(values: np.ndarray) -> np.ndarray:
    """[H, W] of numbers; a single channel may come first or last.

    Raises:
        ValueError: another shape, or no numbers.
    """
    values = np.asarray(values)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "biuf":
        raise ValueError(f"{values.dtype} of shape {values.shape}, but [H, W] of bool, integer or float is expected")
    return values


def _foreground(stored: Image.Image | np.ndarray, options: MaskOptions) -> Foreground:
    """The foreground of a picture or of numbers."""
    if isinstance(stored, np.ndarray):
        return foreground_of_values(stored, options)
    return foreground_of(stored, options, lossy=stored.format in LOSSY_FORMATS)


def _values_of(stored: Image.Image | np.ndarray) -> Callable[[], np.ndarray | None]:
    """Gives the numbers behind a mask; None where the picture is coloured."""

    def values() -> np.ndarray | None:
        try:
            return stored if isinstance(stored, np.ndarray) else label_values(stored)
        except ValueError:
            return None

    return values


def _size_message(path: Path, mask_size: Size, size: Size) -> str:
    """What to say of a mask of another size than its image."""
    found, wanted = f"{mask_size[1]}x{mask_size[0]}", f"{size[1]}x{size[0]}"
    remedy = "give the mask of this image, or resize it with nearest-neighbour interpolation"
    if tuple(mask_size) == tuple(size)[::-1]:
        remedy = "the image's EXIF orientation turns it by 90 degrees: turn the mask too"
    return f"{path}: the mask is {found} but its image is {wanted} (width x height, upright); {remedy}"


def _empty_message(values: np.ndarray | None, options: MaskOptions) -> str:
    """What to say of a mask without foreground."""
    present = "" if values is None else list_values(np.unique(values))
    if options.label is not None:
        return f"no pixel has the label {options.label}; the mask holds {present}: choose one of these with --label"
    if options.mask_threshold is not None:
        return f"no pixel reaches --mask-threshold {options.mask_threshold:g}; the mask holds {present}"
    if options.invert_mask:
        return "nothing is left of the mask when it is inverted; leave --invert-mask out"
    return "the mask is empty, no pixel is foreground; mark the object with non-zero values (255) on 0"


def _full_message(values: np.ndarray | None, options: MaskOptions) -> str:
    """What to say of a mask without background."""
    distinct = np.empty(0) if values is None else np.unique(values)
    if options != NO_OPTIONS:
        return f"with these flags every pixel is object (the mask holds {list_values(distinct)}); choose other values"
    if len(distinct) < 2:
        return "the mask covers the whole image; gpoa needs background too: mark the object only, with 0 around it"
    middle = 0.5 if distinct[-1] <= 1 else float(distinct[-1]) / 2
    label, threshold = f"--label {distinct[-1]:g}", f"--mask-threshold {middle:.3g}"
    whole = not (distinct % 1 != 0).any()
    ways = f"{label} (the object's number) or {threshold}" if whole and len(distinct) <= 255 else threshold
    return f"no pixel is 0, so the mask has no background (it holds {list_values(distinct)}); choose with {ways}"


def list_values(distinct: np.ndarray, most: int = 12) -> str:
    """Sorted values in words: all of a few, else the first ones, how many there are, and the last."""
    if (distinct % 1 != 0).any() and len(distinct) > 3:
        return f"{len(distinct)} values from {distinct[0]:.4g} to {distinct[-1]:.4g}"
    shown = [f"{value:.10g}" for value in distinct.tolist()]
    if len(shown) <= most:
        return ", ".join(shown)
    return f"{', '.join(shown[: most - 2])}, ... {shown[-1]} ({len(shown)} values)"
