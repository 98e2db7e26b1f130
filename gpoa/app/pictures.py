"""The pictures that the page shows: thumbnails, previews, close-ups, masks."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gpoa.config import ReadingConfig
from gpoa.datasets.pages import load_sample
from gpoa.types import Sample, Size
from gpoa.viewer.overlays import CONTOUR_COLOR, MASK_COLOR

PREVIEW = 2048
"""Longest side of a preview, and of a close-up, in pixels."""
THUMB = 256
"""Longest side of a thumbnail."""
FILL_ALPHA = 102
"""Opacity of a mask's inside, of 255."""
AT_ONCE = threading.Semaphore(2)
"""So many thumbnails are made at a time: a browser asks for dozens, and each may be of 24 megapixels."""
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


class Pixels:
    """The latest few images as they were read, so that a close-up does not read 24 megapixels again.

    Args:
        load: index -> [H, W, 3] uint8 RGB.
        budget: bytes that are kept; the latest image is kept whatever its size.
    """

    def __init__(self, load: Callable[[int], np.ndarray], budget: int = 256 << 20) -> None:
        self._load, self._budget = load, budget
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: int) -> np.ndarray:
        """[H, W, 3] uint8 RGB; not to be written to.

        Raises:
            ImageError: the image cannot be read.
        """
        with self._lock:  # one at a time: two readings of 200 megapixels at once would take their memory twice
            if index not in self._kept:
                image = self._load(index)
                image.setflags(write=False)
                self._kept[index] = image
            self._kept.move_to_end(index)
            while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > self._budget:
                self._kept.popitem(last=False)
            return self._kept[index]


def fitted(size: Size, longest: int) -> Size:
    """A size (H, W) scaled down, never up, to a longest side."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def preview_of(image: np.ndarray) -> np.ndarray:
    """The image itself, or scaled down to `PREVIEW`: [h, w, 3] uint8 RGB."""
    size = fitted((image.shape[0], image.shape[1]), PREVIEW)
    if size == image.shape[:2]:
        return image
    picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(picture)


def close_up(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """A part of an image, at most `PREVIEW` pixels long: [h, w, 3] uint8 RGB.

    Args:
        image: [H, W, 3] uint8 RGB.
        box: (x0, y0, x1, y1) in its pixels; what lies outside is cut off.

    Raises:
        ValueError: nothing of the box lies inside.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"close-up {box}: outside the image of {width} x {height} pixels")
    return preview_of(image[y0:y1, x0:x1])


def thumbnail(sample: Sample, reading: ReadingConfig, mask: Path | None) -> bytes:
    """A small JPEG of an image, its mask drawn over it.

    Args:
        sample: the image.
        reading: how it is read.
        mask: its mask file; None, or a file that is not there, draws none.

    Raises:
        ImageError: the image cannot be read.
    """
    with AT_ONCE:
        picture = _small_jpeg(sample.image_path) if sample.page is None else None
        if picture is None:
            picture = Image.fromarray(load_sample(sample, reading))
            picture.thumbnail((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=2.0)
        if mask is not None and mask.is_file():
            with contextlib.suppress(OSError), Image.open(mask) as stored:  # a damaged mask is not drawn
                small = stored.convert("L").resize(picture.size, Image.Resampling.BOX, reducing_gap=2.0)
                picture = _laid_over(picture, np.asarray(small) > 127)
        return encode_jpeg(np.asarray(picture), 82)


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """[H, W, 3] uint8 RGB as JPEG."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="JPEG", quality=quality)
    return content.getvalue()


def encode_mask(mask: np.ndarray) -> bytes:
    """A mask as a PNG that is laid over the image: transparent outside, a tint inside, a border.

    Args:
        mask: [h, w] bool.
    """
    values = mask.astype(np.uint8)
    values[border_of(mask, max(1, round(max(mask.shape) / 700)))] = 2
    picture = Image.frombuffer("P", (mask.shape[1], mask.shape[0]), values.tobytes(), "raw", "P", 0, 1)
    picture.putpalette([0, 0, 0, *MASK_COLOR, *CONTOUR_COLOR])
    content = io.BytesIO()
    picture.save(content, format="PNG", compress_level=1, bits=2, transparency=bytes([0, FILL_ALPHA, 255]))
    return content.getvalue()


def border_of(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask within `width` of its outside, along rows and columns: [h, w] bool."""
    inside = mask.copy()
    for axis in (0, 1):
        for shift in range(1, width + 1):
            for one, other in ((slice(shift, None), slice(None, -shift)), (slice(None, -shift), slice(shift, None))):
                place = (one, slice(None)) if axis == 0 else (slice(None), one)
                source = (other, slice(None)) if axis == 0 else (slice(None), other)
                inside[place] &= mask[source]
    return mask & ~inside


def _small_jpeg(path: Path) -> Image.Image | None:
    """A JPEG decoded at an eighth to a half of its size, upright; None where the ordinary way has to be taken."""
    if path.suffix.lower() not in JPEG:
        return None
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (2 * THUMB, 2 * THUMB))
            picture.thumbnail((THUMB, THUMB))
            return ImageOps.exif_transpose(picture).convert("RGB")
    except Exception:  # what is wrong with it, the ordinary way says
        return None


def _laid_over(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    """The mask's tint and border on a small picture."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32).copy()
    pixels[mask] += FILL_ALPHA / 255 * (np.array(MASK_COLOR, dtype=np.float32) - pixels[mask])
    pixels[border_of(mask, 1)] = CONTOUR_COLOR
    return Image.fromarray(pixels.round().astype(np.uint8))
