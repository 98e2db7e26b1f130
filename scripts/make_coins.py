"""Makes the shipped coin set: `python scripts/make_coins.py --output data/coins` (needs scikit-image).

scikit-image carries a photograph of 24 ancient coins (`skimage.data.coins`, 303 x 384 grey). Each of its four rows is
cut in two, so no pixel is in two pictures; the first piece is the reference. Every piece is enlarged three times. The
masks are a watershed of the gradient from sure background and sure coin, with holes filled and frayed edges opened.
Where a dark part of a coin fell to the background, a polygon set by hand gives it back; all outlines were checked by
eye at eightfold size.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

# (top, bottom, column of the cut), in pixels of the photograph; the lines run between the coins.
ROWS = ((2, 88, 186), (88, 150, 180), (150, 226, 181), (226, 301, 210))
ENLARGEMENT = 3
SURE_BACKGROUND, SURE_COIN = 30, 150
# Parts the watershed misses, since they are as dark as the background: (x, y) corners in pixels of the photograph.
MISSED = (
    # Row 1, coin 5: the shaded rim at the left.
    (
        (257.8, 42.0),
        (255.8, 46.6),
        (254.8, 52.2),
        (255.2, 56.6),
        (256.4, 59.8),
        (258.8, 64.8),
        (262.5, 68.2),
        (274.5, 52.2),
    ),
    # Row 3, coin 1: the worn top.
    ((36.2, 178.8), (39.2, 177.2), (43.0, 176.6), (46.8, 177.1), (49.9, 179.1), (46.0, 182.0), (38.0, 182.0)),
    # Row 3, coin 5: the neck below the dark groove under the chin.
    (
        (283.0, 209.0),
        (293.4, 208.4),
        (292.8, 210.5),
        (290.8, 212.0),
        (288.6, 213.8),
        (285.8, 215.4),
        (282.4, 216.1),
        (277.4, 215.6),
        (281.8, 211.5),
    ),
)


def coin_mask(photograph: np.ndarray) -> np.ndarray:
    """The coins of the photograph.

    Args:
        photograph: [H, W] uint8.

    Returns:
        [H, W] bool.
    """
    from skimage.draw import polygon2mask
    from skimage.filters import sobel
    from skimage.segmentation import watershed

    markers = np.where(photograph < SURE_BACKGROUND, 1, np.where(photograph > SURE_COIN, 2, 0))
    coins = ndimage.binary_fill_holes(watershed(sobel(photograph), markers) == 2)
    coins = ndimage.binary_opening(coins, iterations=2)
    for corners in MISSED:
        coins |= polygon2mask(photograph.shape, [(y, x) for x, y in corners])
    return coins


def enlarge(array: np.ndarray) -> np.ndarray:
    """Three times the size, [3H, 3W] uint8."""
    size = (array.shape[1] * ENLARGEMENT, array.shape[0] * ENLARGEMENT)
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.LANCZOS))


def main() -> int:
    """Makes the set; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("data/coins"))
    args = parser.parse_args()
    try:
        from skimage.data import coins
    except ImportError:
        sys.exit("this script needs scikit-image: pip install scikit-image")
    photograph = coins()
    mask = coin_mask(photograph).astype(np.uint8) * 255
    pieces = [
        (slice(top, bottom), columns)
        for top, bottom, cut in ROWS
        for columns in (slice(0, cut), slice(cut, photograph.shape[1]))
    ]
    for number, piece in enumerate(pieces):
        kind = "target" if number else "reference"
        for name, array in (("image", enlarge(photograph[piece])), ("mask", enlarge(mask[piece]))):
            place = args.output / f"{kind}_{name}"
            place.mkdir(parents=True, exist_ok=True)
            final = array if name == "image" else np.where(array > 127, 255, 0).astype(np.uint8)
            Image.fromarray(final).save(place / f"coins_{number}.png", optimize=True)
    print(f"1 reference and {len(pieces) - 1} targets in {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
