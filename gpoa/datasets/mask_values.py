"""Which pixels of a decoded mask picture are foreground. Pure rules, no files.

The rules, in the order in which they are tried:

1. `label` given: foreground is where the grey value (palette pictures: the palette index) equals it.
2. Palette, any used colour not grey: by index, as VOC stores classes. Index 0 is background. Index 255 is VOC's "void"
   and counts as background, unless it is the only other index. A palette of greys is read as the greys it shows, because
   tools that shrink a black-and-white mask to a palette put either of the two first.
3. Alpha that varies: by colour where the visible pixels are partly black and partly not; else by alpha (a cut-out, or
   one colour painted on a transparent layer). Alpha that is the same everywhere is ignored.
4. Otherwise by value, the largest of the colour channels:
   - one or two distinct values, or no value near black, or none near white: every non-zero value (0/1, 0/255, class
     and instance numbers). Negative numbers and NaN are background.
   - small class numbers beside 255, and more pixels with numbers than with 255: the numbers; 255 is void.
   - fewer than 16 distinct values: a few grey levels, each its own class: all but those next to black.
   - else a grey ramp (anti-aliasing, a resized or JPEG mask, a probability): from half of white on.
   - a picture from a lossy file (JPEG): from half of its largest value on, whatever that is.

White is 255 for 8 bits, 65535 for 16 bits and 1 for floating-point values that stay within [0, 1].
"""

from __future__ import annotations

import numpy as np
from PIL import Image

VOID = 255
"""The index of undecided pixels in Pascal VOC."""
FEW_LEVELS = 16
"""Fewer distinct values than this are classes, not a ramp: anti-aliasing and JPEG make far more."""


def foreground_of(picture: Image.Image, label: int | None = None, lossy: bool = False) -> np.ndarray:
    """Foreground of a decoded mask picture by the rules of this module.

    Args:
        picture: any Pillow mode.
        label: only pixels of this value (palette: index) are foreground.
        lossy: the file's format does not keep values exactly.

    Returns:
        [H, W] bool.

    Raises:
        ValueError: `label` is given but the picture is coloured, so that its pixels have no single value.
    """
    if label is not None:
        return label_values(picture) == label
    if picture.mode in ("P", "PA"):
        return _foreground_of_palette(picture)
    if picture.mode in ("LA", "La", "RGBA", "RGBa"):
        pixels = np.asarray(picture.convert("RGBA"))
        return _foreground_of_layer(pixels[..., :3].max(axis=2), pixels[..., 3], lossy)
    return foreground_of_values(_grey_values(picture), lossy)


def label_values(picture: Image.Image) -> np.ndarray:
    """[H, W] the number that each pixel holds: palette index, or grey value.

    Raises:
        ValueError: the picture is coloured.
    """
    if picture.mode == "P":
        return np.asarray(picture)
    if picture.mode == "PA":
        return np.asarray(picture)[..., 0]
    if picture.mode in ("1", "L", "F") or picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.float64)
    pixels = np.asarray(picture.convert("RGB"))
    if (pixels != pixels[..., :1]).any():
        raise ValueError("a coloured mask has no label numbers; store the labels as grey values or palette indices")
    return pixels[..., 0]


def foreground_of_values(values: np.ndarray, lossy: bool = False) -> np.ndarray:
    """Foreground of a picture of one number a pixel (rule 4).

    Args:
        values: [H, W] bool, integer or float; NaN is background.
        lossy: the file's format does not keep values exactly.

    Returns:
        [H, W] bool.
    """
    values = np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values
    distinct = _distinct(values)
    white = float(distinct[-1]) if lossy else _white(values, float(distinct[-1]))
    near_black, near_white = white / 16, white * 15 / 16
    if len(distinct) <= 2 or distinct[0] > near_black or distinct[-1] < near_white:
        return values > 0
    if not lossy:
        numbers = (values > 0) & (values < white / 4)
        between = (distinct >= white / 4) & (distinct < white)
        if not between.any() and numbers.sum() > (values >= white).sum():
            return numbers
        if len(distinct) < FEW_LEVELS:
            return values > near_black
    return values >= white / 2


def _distinct(values: np.ndarray) -> np.ndarray:
    """The sorted distinct values; counting is many times faster than sorting for large 8-bit pictures."""
    if values.dtype == np.uint8:
        return np.flatnonzero(np.bincount(values.reshape(-1), minlength=256))
    return np.unique(values)


def _white(values: np.ndarray, largest: float) -> float:
    """The value of white in pixels of this type."""
    if values.dtype.kind == "f" and largest <= 1:
        return 1.0
    return 255.0 if values.dtype == np.uint8 or largest <= 255 else 65535.0


def _foreground_of_palette(picture: Image.Image) -> np.ndarray:
    """Rule 2."""
    indices = label_values(picture)
    used = _distinct(indices)
    colours = np.asarray(picture.convert("RGB"))
    grey = (colours == colours[..., :1]).all()
    # A palette that shows the same colour for every index tells nothing; the indices do.
    if grey and (len(used) == 1 or colours.min() != colours.max()):
        return foreground_of_values(colours[..., 0])
    if set(used.tolist()) <= {0, VOID}:
        return indices > 0
    return (indices > 0) & (indices != VOID)


def _foreground_of_layer(values: np.ndarray, alpha: np.ndarray, lossy: bool) -> np.ndarray:
    """Rule 3; values and alpha are [H, W] uint8."""
    if alpha.min() == alpha.max():
        return foreground_of_values(values, lossy)
    visible = alpha > 0
    if (values[visible] == 0).any() and (values[visible] > 0).any():
        return foreground_of_values(np.where(visible, values, 0).astype(np.uint8), lossy)
    return foreground_of_values(alpha, lossy)


def _grey_values(picture: Image.Image) -> np.ndarray:
    """[H, W] one number a pixel: the value itself, or the largest colour channel."""
    if picture.mode in ("1", "L", "F") or picture.mode.startswith("I"):
        return np.asarray(picture)
    return np.asarray(picture.convert("RGB")).max(axis=2)
