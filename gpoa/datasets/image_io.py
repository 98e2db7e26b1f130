"""Reading images of any common kind.

Sizes are (H, W). The EXIF orientation is applied to images and to masks (`mask_io`), so what we read is what a viewer shows. Of a
file with several frames or pages, the first is read.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from gpoa.errors import GpoaError, ImageError
from gpoa.types import Size

MAX_PIXELS = 300_000_000
"""Images of more pixels are refused: decoded and as float they would take several gigabytes."""
QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange rows and columns."""
TRANSPOSE_OF = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright. (`ImageOps.exif_transpose` also rewrites the EXIF block, and
fails where another tag of it is malformed.)"""

_limit_lock = threading.Lock()
_limit_state: dict[str, int | None] = {"users": 0, "saved": None}


def load_image(path: Path | str) -> np.ndarray:
    """Reads an image as 8-bit RGB.

    Grey of more than 8 bits and floating-point grey are scaled linearly so that the smallest value of the picture
    becomes 0 and the largest 255 (a constant picture becomes 0, NaN and infinities the nearest end): such files rarely
    use the full range of their type, and an instrument's picture would otherwise be black. RGB of 16 bits keeps its upper
    8 bits. Transparent pixels are laid on white.

    Args:
        path: the file.

    Returns:
        [H, W, 3] uint8 RGB, upright, freely writable.

    Raises:
        ImageError: the file is missing, empty, corrupt, truncated, no image, or too large.
    """
    picture = open_picture(Path(path), ImageError)
    try:
        return _to_rgb(picture)
    except (ValueError, OSError) as error:
        raise ImageError(f"{path}: pixels of kind {picture.mode} cannot be converted; save it as RGB PNG") from error


def image_size(path: Path | str) -> Size:
    """Size of an image or a mask from its header, as `load_image` and `load_mask` would give it.

    Args:
        path: the file.

    Returns:
        (H, W), upright.

    Raises:
        ImageError: the file is missing, empty, no image, or too large.
    """
    with _reading(Path(path), ImageError) as picture:
        width, height = picture.size
        if picture.format == "TIFF":
            # Pillow's TIFF reader has exchanged the two already, depending on its version; the tags are as stored.
            width, height = picture.tag_v2[256], picture.tag_v2[257]
        return (width, height) if _orientation(picture) in QUARTER_TURNS else (height, width)


@contextlib.contextmanager
def _reading(path: Path, error_type: type[GpoaError]) -> Iterator[Image.Image]:
    """Opens a picture and turns whatever goes wrong while it is read into one clear line."""
    try:
        if path.is_dir():
            raise error_type(f"{path}: is a folder; give one file of it")
        if path.stat().st_size == 0:
            raise error_type(f"{path}: the file is empty (0 bytes); copy or download it again")
        with _own_pixel_limit(), Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                size = f"{picture.width}x{picture.height} (width x height)"
                raise error_type(f"{path}: {size} is more than {MAX_PIXELS:,} pixels; scale it down or cut it into tiles")
            yield picture
    except GpoaError:
        raise
    except FileNotFoundError as error:
        raise error_type(f"{path}: no such file; check the path") from error
    except PermissionError as error:
        raise error_type(f"{path}: no permission to read the file; change its mode or owner") from error
    except Image.UnidentifiedImageError as error:
        raise error_type(f"{path}: not an image, or of a kind that Pillow cannot read; save it as PNG") from error
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, EOFError and more.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise error_type(f"{path}: corrupt or truncated ({reason}); copy it again or save it as PNG") from error


def open_picture(path: Path, error_type: type[GpoaError]) -> Image.Image:
    """A decoded picture, upright, with `format` as in the file; `error_type` says what is wrong with it."""
    with _reading(path, error_type) as picture:
        picture.load()
        file_format = picture.format
        orientation = _orientation(picture)
        upright = picture.transpose(TRANSPOSE_OF[orientation]) if orientation != 1 else picture.copy()
        upright.format = file_format
        return upright


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation, 1 (upright) where there is none or the block is malformed."""
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a broken EXIF block does not make the pixels unusable, and its parser raises many kinds.
        return 1
    return value if value in range(1, 9) else 1


@contextlib.contextmanager
def _own_pixel_limit() -> Iterator[None]:
    """Switches Pillow's process-wide size check off while we read, because `_reading` makes its own.

    Reads in several threads share the switch, and the last one puts the caller's limit back.
    """
    with _limit_lock:
        if _limit_state["users"] == 0:
            _limit_state["saved"] = Image.MAX_IMAGE_PIXELS
            Image.MAX_IMAGE_PIXELS = None
        _limit_state["users"] += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_state["users"] -= 1
            if _limit_state["users"] == 0:
                Image.MAX_IMAGE_PIXELS = _limit_state["saved"]


def _to_rgb(picture: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 of a decoded picture."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        grey = _stretch(np.asarray(picture))
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        picture = Image.alpha_composite(white, layer)
    if picture.mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        picture = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
    return np.array(picture.convert("RGB"))


def _stretch(values: np.ndarray) -> np.ndarray:
    """[H, W] uint8: the used range of the finite values mapped linearly to 0..255."""
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if high == low:
        return np.zeros(values.shape, dtype=np.uint8)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return np.rint((values - low) / (high - low) * 255).astype(np.uint8)
