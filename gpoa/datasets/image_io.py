"""Reading images of any common kind as 8-bit RGB.

Sizes are (H, W), upright: the EXIF orientation is applied to images and to masks (`mask_io`), so what we read is what a
viewer shows, and the "original size" of a photograph that a camera stored lying down is its size standing up.

Pillow reads the everyday formats. TIFF, DICOM and NIfTI with other values than 8-bit colours come as a `Raster` from
`tiff_io`, `dicom_io` and `nifti_io`; `raster` and `intensity` say how their values become 8 bits.
Pages are counted from 0.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from gpoa.config import ReadingConfig
from gpoa.datasets.dicom_io import count_dicom, dicom_size, is_dicom, read_dicom
from gpoa.datasets.intensity import strips
from gpoa.datasets.nifti_io import count_nifti, is_nifti, nifti_size, read_nifti
from gpoa.datasets.raster import Raster, check_channels, missing, to_rgb
from gpoa.datasets.tiff_io import count_tiff, read_tiff, tiff_size
from gpoa.errors import GpoaError, ImageError
from gpoa.types import Size

MAX_PIXELS = 300_000_000
"""Images of more pixels are refused: decoded and converted they would take several gigabytes."""
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
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SEVERAL = frozenset({"GIF", "WEBP", "PNG", "AVIF", "HEIF", "TIFF"})
"""Formats whose frames are pages. (The further pictures of a camera's MPO are previews.)"""
HEIC = (".heic", ".heif", ".hif")
DEFAULT = ReadingConfig()

_limit_lock = threading.Lock()
_limit_users: list[int] = []
_limit_saved: list[int | None] = []


def load_image(path: Path | str, reading: ReadingConfig = DEFAULT, page: int | None = None) -> np.ndarray:
    """Reads an image as 8-bit RGB.

    8-bit images are taken as they are. Values of more bits and floating-point values are scaled linearly, because such
    files rarely use the full range of their type: `gpoa.datasets.intensity` says from where to where, and
    `gpoa.datasets.raster` which channels are shown. Transparent pixels are laid on white.

    Args:
        path: the file.
        reading: which channels, which window; `pages` decides only whether all pages are projected into one.
        page: which page of a stack or an animation, from 0; None: the first, or the projection where that is asked.

    Returns:
        [H, W, 3] uint8 RGB, upright, freely writable.

    Raises:
        ImageError: the file is missing, empty, corrupt, truncated, no image, or too large; a channel or page does not
            exist; or a package that this kind of file needs is not installed, which the message names.
    """
    path = Path(path)
    if reading.intensity == "run" and not reading.window:
        raise ImageError(f"{path}: --intensity run is for `gpoa run`; elsewhere give its values with --reading.window")
    stored: Raster | Image.Image | np.ndarray
    if page is None and is_projected(path, reading):
        stored = read_projection(path, reading)
    else:
        stored = read_page(path, page or 0, bool(reading.channels))
    if isinstance(stored, np.ndarray):
        return stored
    try:
        return to_rgb(stored, reading) if isinstance(stored, Raster) else _chosen(_to_rgb(stored), reading)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except (ValueError, OSError) as error:
        mode = getattr(stored, "mode", "")
        raise ImageError(f"{path}: pixels of kind {mode} cannot be converted; save it as RGB PNG") from error


def is_projected(path: Path, reading: ReadingConfig) -> bool:
    """Whether a file's pages become one image, the largest value of each pixel."""
    return reading.pages == ("max",) and count_pages(path) > 1


def read_projection(path: Path, reading: ReadingConfig) -> Raster | np.ndarray:
    """The maximum projection of all pages: as a `Raster`, or for 8-bit pictures [H, W, 3] uint8 RGB.

    Raises:
        ImageError: a page cannot be read, or the pages differ in size.
    """
    whole: Raster | np.ndarray | None = None
    for number in range(count_pages(path)):
        stored = read_page(path, number, bool(reading.channels))
        page = stored if isinstance(stored, Raster) else _chosen(_to_rgb(stored), reading)
        if whole is None:
            whole = page
            continue
        old, new = (one.values if isinstance(one, Raster) else one for one in (whole, page))
        if type(whole) is not type(page) or old.shape != new.shape:
            raise ImageError(f"{path}: page {number} has another size or kind than page 0; max needs equal ones")
        largest = np.fmax(old, new) if old.dtype.kind == "f" else np.maximum(old, new)
        whole = replace(whole, values=largest) if isinstance(whole, Raster) else largest
    assert whole is not None
    return whole


def read_page(path: Path, page: int = 0, raw: bool = False) -> Raster | Image.Image:
    """One page as its file stores it, upright.

    Args:
        path: the file.
        page: from 0.
        raw: read a TIFF's channels as they are stored, also where Pillow would show them as colours.

    Returns:
        An 8-bit Pillow picture of some mode, or a `Raster`.

    Raises:
        ImageError: see `load_image`.
    """
    kind = file_kind(path)
    if kind == "tiff":
        return _read_tiff(path, page, raw)
    if kind in ("dicom", "nifti"):
        with _explained(path, ImageError):
            return read_dicom(path, page) if kind == "dicom" else read_nifti(path, page)
    if kind == "deep png":
        return _read_deep_png(path)
    return _deep(open_picture(path, ImageError, page))


def count_pages(path: Path) -> int:
    """Pages of a stack, frames of an animation, slices of a volume; 1 for everything else. Only headers are read.

    Raises:
        ImageError: the file cannot be read.
    """
    kind = file_kind(path)
    if kind in ("dicom", "nifti"):
        with _explained(path, ImageError):
            return count_dicom(path) if kind == "dicom" else count_nifti(path)
    if kind == "tiff":
        with contextlib.suppress(Exception):  # what tifffile cannot parse, Pillow tries
            return count_tiff(path)
    with _reading(path, ImageError) as picture:
        return getattr(picture, "n_frames", 1) if picture.format in SEVERAL else 1


def file_kind(path: Path) -> str:
    """tiff, dicom, nifti, deep png (16-bit colour), or pillow, by a file's first bytes and its suffix."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return "pillow"  # whose reading says what is wrong
    if head.startswith(TIFF_MAGIC):
        return "tiff"
    if not head:
        return "pillow"
    if is_dicom(path, head):
        return "dicom"
    if is_nifti(path):
        return "nifti"
    return "deep png" if head.startswith(PNG_MAGIC) and head[24] == 16 and head[25] in (2, 6) else "pillow"


def image_size(path: Path | str) -> Size:
    """Size of an image or a mask from its header, as `load_image` and `load_mask` would give it.

    Args:
        path: the file.

    Returns:
        (H, W), upright.

    Raises:
        ImageError: the file is missing, empty, no image, or too large.
    """
    path = Path(path)
    kind = file_kind(path)
    if kind in ("dicom", "nifti"):
        with _explained(path, ImageError):
            return dicom_size(path) if kind == "dicom" else nifti_size(path)
    if kind == "tiff":
        with contextlib.suppress(Exception):
            height, width = tiff_size(path)
            _check_pixels(path, width, height, ImageError)
            return height, width
    with _reading(path, ImageError) as picture:
        width, height = picture.size
        if isinstance(picture, TiffImagePlugin.TiffImageFile) and picture.format == "TIFF":
            # Pillow's TIFF reader has exchanged the two already, depending on its version; the tags are as stored.
            width, height = picture.tag_v2[256], picture.tag_v2[257]
        return (width, height) if _orientation(picture) in QUARTER_TURNS else (height, width)


@contextlib.contextmanager
def _explained(path: Path, error_type: type[GpoaError]) -> Iterator[None]:
    """Turns whatever goes wrong while a file is read into one clear line."""
    try:
        if path.is_dir():
            raise error_type(f"{path}: is a folder; give one file of it")
        if path.stat().st_size == 0:
            raise error_type(f"{path}: the file is empty (0 bytes); copy or download it again")
        yield
    except GpoaError as error:
        raise error if str(path) in str(error) else error_type(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise error_type(f"{path}: no such file; check the path") from error
    except PermissionError as error:
        raise error_type(f"{path}: no permission to read the file; change its mode or owner") from error
    except Image.UnidentifiedImageError as error:
        if path.suffix.lower() in HEIC:
            raise error_type(f"{path}: {missing('HEIC', 'pillow-heif')}") from error
        raise error_type(f"{path}: not an image, or of a kind that Pillow cannot read; save it as PNG") from error
    except Exception as error:  # the readers raise OSError, SyntaxError, ValueError, struct.error, EOFError and more.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise error_type(f"{path}: corrupt or truncated ({reason}); copy it again or save it as PNG") from error


@contextlib.contextmanager
def _reading(path: Path, error_type: type[GpoaError]) -> Iterator[ImageFile.ImageFile]:
    """Opens a picture with Pillow."""
    if path.suffix.lower() in HEIC:
        with contextlib.suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
    with _explained(path, error_type), _own_pixel_limit(), Image.open(path) as picture:
        _check_pixels(path, picture.width, picture.height, error_type)
        yield picture


def _check_pixels(path: Path, width: int, height: int, error_type: type[GpoaError]) -> None:
    """Refuses an image that is too large."""
    if width * height > MAX_PIXELS:
        size = f"{width}x{height} (width x height)"
        raise error_type(f"{path}: {size} is more than {MAX_PIXELS:,} pixels; scale it down or cut it into tiles")


def open_picture(path: Path, error_type: type[GpoaError], page: int = 0) -> Image.Image:
    """A decoded picture, upright, with `format` as in the file; `error_type` says what is wrong with it.

    It is not copied: a large one would take its memory twice.
    """
    with _reading(path, error_type) as picture:
        if page:
            count = getattr(picture, "n_frames", 1)
            if page >= count:
                raise error_type(f"{path}: there is no page {page}; the file has {count}, from 0")
            picture.seek(page)
        picture.load()
        orientation = _orientation(picture)
        if orientation == 1:
            return picture
        upright = picture.transpose(TRANSPOSE_OF[orientation])
        upright.format = picture.format
        return upright


def _read_tiff(path: Path, page: int, raw: bool) -> Raster | Image.Image:
    """A page of a TIFF by tifffile, or by Pillow where that knows it better or tifffile lacks a codec."""
    why: Exception | None = None
    try:
        made = read_tiff(path, page, raw)
    except Exception as error:  # tifffile's parser raises many kinds
        made, why = page, error
    if isinstance(made, Raster):
        height, width = made.values.shape[:2]
        _check_pixels(path, width, height, ImageError)
        return made
    try:
        picture = _deep(open_picture(path, ImageError, made))
    except ImageError:
        with _explained(path, ImageError):
            if why is not None:
                raise why from None
            if isinstance(second := read_tiff(path, page, raw=True), Raster):
                return second
        raise
    if isinstance(why, ImageError) and not isinstance(picture, Raster):  # Pillow cuts deep colours down to 8 bits
        raise ImageError(f"{path}: {why}") from why
    return picture


def _read_deep_png(path: Path) -> Raster:
    """A PNG of 16-bit colour, of which Pillow gives only the upper 8 bits: the lower ones are read a second time."""
    halves = []
    for half in ("16B", "16L"):  # in numbers stored high byte first, "low byte first" finds the low one
        with _reading(path, ImageError) as picture:
            picture.tile = [tile._replace(args=str(tile.args).replace("16B", half)) for tile in picture.tile]
            picture.load()
            turn = TRANSPOSE_OF.get(_orientation(picture))
            halves.append(np.asarray(picture if turn is None else picture.transpose(turn)))
    values = (halves[0].astype(np.uint16) << 8) | halves[1]
    return Raster(values, "png", colour=True, alpha=values.shape[2] == 4)


def _deep(picture: Image.Image) -> Raster | Image.Image:
    """A picture of more than 8 bits as a raster, others as they are."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        values = np.asarray(picture)[..., None]
        return Raster(values.astype(values.dtype.newbyteorder("="), copy=False), (picture.format or "picture").lower())
    return picture


def stored_orientation(path: Path) -> int:
    """The EXIF orientation that a file states; 1, upright, where it states none or Pillow cannot open it."""
    try:
        with _reading(path, ImageError) as picture:
            return _orientation(picture)
    except ImageError:
        return 1


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
        if not _limit_users:
            _limit_saved[:] = [Image.MAX_IMAGE_PIXELS]
            Image.MAX_IMAGE_PIXELS = None
        _limit_users.append(threading.get_ident())
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users.remove(threading.get_ident())
            if not _limit_users:
                Image.MAX_IMAGE_PIXELS = _limit_saved[0]


def _to_rgb(picture: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 of a decoded picture; large ones are converted in strips, to save memory."""
    width, height = picture.size
    parts = list(strips((height, width)))
    if len(parts) == 1:
        return _strip_to_rgb(picture)
    made = np.empty((height, width, 3), dtype=np.uint8)
    with _own_pixel_limit():  # cropping checks the size too
        for rows in parts:
            made[rows] = _strip_to_rgb(picture.crop((0, rows.start, width, rows.stop)))
    return made


def _strip_to_rgb(picture: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 of a few rows."""
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        picture = Image.alpha_composite(white, layer)
    if picture.mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
        assert converted is not None, "only a conversion in place returns nothing"
        picture = converted
    return np.array(picture.convert("RGB"))


def _chosen(image: np.ndarray, reading: ReadingConfig) -> np.ndarray:
    """The chosen channels of an [H, W, 3] uint8 RGB picture."""
    if not reading.channels:
        return image
    check_channels(reading.channels, 3)
    made = np.zeros_like(image)
    for place, channel in enumerate(reading.channels):
        made[..., place] = image[..., channel]
    if len(reading.channels) == 1:
        made[..., 1:] = made[..., :1]
    return made
