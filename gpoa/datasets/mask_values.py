"""Which pixels of a decoded mask picture are foreground. Pure rules, no files.

The rules, in the order in which they are tried:

1. `MaskOptions` given: foreground is where the grey value (palette pictures: the palette index) equals the label, or
   where the value (of colours the largest channel) is at least the threshold.
2. Palette, any used colour not grey: by index, as VOC stores classes. Index 0 is background. Index 255 is VOC's "void"
   and counts as background, unless it is the only other index. A palette of greys is read as the greys it shows,
   because tools that shrink a black-and-white mask to a palette put either of the two first.
3. Alpha that varies: by colour where the visible pixels are partly black and partly not; else by alpha (a cut-out, or
   one colour painted on a transparent layer). Alpha that is the same everywhere is ignored.
4. Otherwise by value, the largest of the colour channels:
   - one or two distinct values, or no value near black, or none near white: every non-zero value (0/1, 0/255, class
     and instance numbers). Negative numbers and NaN are background.
   - small class numbers beside white, and more pixels with numbers than with white: the numbers; white is void.
   - fewer than 16 distinct values: a few grey levels, each its own class: all but those next to black.
   - else a grey ramp (anti-aliasing, a resized or JPEG mask, a probability): from half of white on.
   - a picture from a lossy file (JPEG): from half of its largest value on, whatever that is.

White is 255 for 8 bits and 65535 for wider integers: wide files hold object numbers, and whoever has 250 or 62,000
objects has no grey ramp. For floating-point values it is 1, 255 or 65535, the smallest that none exceeds.
A coloured annotation on white paper, and a mask painted over a photograph, are no masks and are refused as what they
are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from gpoa.datasets.options import NO_OPTIONS, MaskOptions

VOID = 255
"""The index of undecided pixels in Pascal VOC."""
FEW_LEVELS = 16
"""Fewer distinct values than this are classes, not a ramp: anti-aliasing and JPEG make far more."""
MANY_COLOURS = 1024
"""A coloured picture with more colours than this may be a photograph."""
LAYERS = ("LA", "La", "RGBA", "RGBa")


class Foreground(NamedTuple):
    """Which pixels are foreground, and why.

    Args:
        mask: [H, W] bool.
        rule: which pixels count, in words.
        ids: [N] the values that tell objects or classes apart, sorted; empty where the values are shades.
        brightest: the largest value of a lossy picture of 8 bits; infinite for other pictures.
    """

    mask: np.ndarray
    rule: str
    ids: np.ndarray
    brightest: float = math.inf


def foreground_of(picture: Image.Image, options: MaskOptions = NO_OPTIONS, lossy: bool = False) -> Foreground:
    """Foreground of a decoded mask picture by the rules of this module.

    Args:
        picture: any Pillow mode.
        options: what the user chose.
        lossy: the file's format does not keep values exactly.

    Raises:
        ValueError: a label is asked for but the picture is coloured, so that its pixels have no single value; or the
            picture is an annotation on white or a photograph.
    """
    if options.label is not None:
        return _chosen(label_values(picture), options)
    if options.mask_threshold is not None:
        return _chosen(_grey_values(picture), options)
    if picture.mode in ("P", "PA"):
        found = _foreground_of_palette(picture)
    elif picture.mode in LAYERS:
        pixels = np.asarray(picture.convert("RGBA"))
        if (pixels[..., 3] == pixels[0, 0, 3]).all():
            refuse_annotation(picture.convert("RGB"))
        found = _foreground_of_layer(pixels[..., :3].max(axis=2), pixels[..., 3], lossy)
    else:
        refuse_annotation(picture)
        found = foreground_of_values(_grey_values(picture), NO_OPTIONS, lossy)
    return _inverted(found) if options.invert_mask else found


def _chosen(values: np.ndarray, options: MaskOptions) -> Foreground:
    """Rule 1."""
    if options.label is not None:
        found = Foreground(values == options.label, f"the value {options.label} counts", np.empty(0))
    else:
        threshold = options.mask_threshold
        found = Foreground(values >= threshold, f"values from {threshold:g} on count", np.empty(0))
    return _inverted(found) if options.invert_mask else found


def _inverted(found: Foreground) -> Foreground:
    """The rest of the picture."""
    return Foreground(~found.mask, f"inverted, what is left out where {found.rule}", np.empty(0))


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


def refuse_annotation(picture: Image.Image) -> None:
    """Raises ValueError for an annotation on white paper, and for one painted over a photograph."""
    if picture.mode not in ("RGB", "YCbCr", "CMYK", "LAB", "HSV"):
        return
    colours = picture.convert("RGB")
    pixels = np.asarray(colours)
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    coloured = (high - low) > 60  # more than JPEG makes of grey
    if not coloured.any():
        return
    if 2 * int(((low > 235) & ~coloured).sum()) > low.size:
        raise ValueError(
            "a coloured annotation on white, not a mask: save the object as white (255) on black (0), "
            "or the annotation alone on a transparent layer"
        )
    if colours.getcolors(MANY_COLOURS) is None:
        coarse = (pixels >> 4).astype(np.int64) @ np.array([256, 16, 1])
        counts = np.sort(np.bincount(coarse.reshape(-1), minlength=4096))
        # Flat colours, be they blurred or from JPEG, fill a picture with a few coarse colours; photographs need many.
        if counts[-16:].sum() < 0.9 * coarse.size:
            raise ValueError(
                "a photograph, perhaps with the mask painted over it, not a mask: save the object as white (255) on "
                "black (0), or the painted layer alone with a transparent background"
            )


def foreground_of_values(
    values: np.ndarray, options: MaskOptions = NO_OPTIONS, lossy: bool = False
) -> Foreground:
    """Foreground of a picture of one number a pixel (rules 1 and 4).

    Args:
        values: [H, W] bool, integer or float; NaN is background.
        options: what the user chose.
        lossy: the file's format does not keep values exactly.
    """
    if options.label is not None or options.mask_threshold is not None:
        return _chosen(values, options)
    values = np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values
    found = _by_value(values, _distinct(values), lossy)
    return _inverted(found) if options.invert_mask else found


def _by_value(values: np.ndarray, distinct: np.ndarray, lossy: bool) -> Foreground:
    """Rule 4; `distinct` are the sorted values."""
    none = np.empty(0)
    white = float(distinct[-1]) if lossy else _white(values, float(distinct[-1]))
    near_black, near_white = white / 16, white * 15 / 16
    if values.dtype.kind in "iu" and values.dtype.itemsize > 1:
        near_white = white - white / 255  # object numbers may come near; white itself, to one level of 8 bits, is white
    if len(distinct) <= 2 or distinct[0] > near_black or not near_white <= distinct[-1] <= white:
        ids = none if lossy or (distinct % 1 != 0).any() else distinct[distinct > 0]
        return Foreground(values > 0, "every value above 0 counts", ids)
    if not lossy:
        numbers = (values > 0) & (values < white / 4)
        between = (distinct >= white / 4) & (distinct < white)
        if not between.any() and numbers.sum() > (values >= white).sum():
            rule = f"small numbers count, {white:g} is taken as undecided"
            return Foreground(numbers, rule, distinct[(distinct > 0) & (distinct < white)])
        if len(distinct) < FEW_LEVELS:
            levels = distinct[distinct > near_black]
            ids = levels if (levels < near_white).any() else none
            return Foreground(values > near_black, f"values above {near_black:.3g} count", ids)
    brightest = white if lossy else math.inf
    return Foreground(values >= white / 2, f"values from {white / 2:g} on count", none, brightest)


def _distinct(values: np.ndarray) -> np.ndarray:
    """The sorted distinct values; counting is many times faster than sorting for large 8-bit pictures."""
    if values.dtype == np.uint8:
        return np.flatnonzero(np.bincount(values.reshape(-1), minlength=256))
    return np.unique(values)


def _white(values: np.ndarray, largest: float) -> float:
    """The value of white in pixels of this type."""
    if values.dtype.kind == "f":
        return 1.0 if largest <= 1 else 255.0 if largest <= 255 else 65535.0
    return 255.0 if values.dtype.itemsize == 1 else 65535.0


def _foreground_of_palette(picture: Image.Image) -> Foreground:
    """Rule 2."""
    indices = label_values(picture)
    used = _distinct(indices)
    colours = np.asarray(picture.convert("RGB"))
    grey = (colours == colours[..., :1]).all()
    # A palette that shows the same colour for every index tells nothing; the indices do.
    if grey and (len(used) == 1 or colours.min() != colours.max()):
        return foreground_of_values(colours[..., 0])
    if set(used.tolist()) <= {0, VOID}:
        return Foreground(indices > 0, "every palette index above 0 counts", np.empty(0))
    rule = "every palette index counts but 0" + (" and 255 (undecided)" if VOID in used else "")
    return Foreground((indices > 0) & (indices != VOID), rule, used[(used > 0) & (used != VOID)])


def _foreground_of_layer(values: np.ndarray, alpha: np.ndarray, lossy: bool) -> Foreground:
    """Rule 3; values and alpha are [H, W] uint8."""
    if alpha.min() == alpha.max():
        return foreground_of_values(values, NO_OPTIONS, lossy)
    visible = alpha > 0
    if (values[visible] == 0).any() and (values[visible] > 0).any():
        return foreground_of_values(np.where(visible, values, 0).astype(np.uint8), NO_OPTIONS, lossy)
    found = foreground_of_values(alpha, NO_OPTIONS, lossy)
    return Foreground(found.mask, f"by opacity: {found.rule}", np.empty(0))


def _grey_values(picture: Image.Image) -> np.ndarray:
    """[H, W] one number a pixel: the value itself, or the largest colour channel."""
    if picture.mode in ("1", "L", "F") or picture.mode.startswith("I"):
        return np.asarray(picture)
    return np.asarray(picture.convert("RGB")).max(axis=2)
