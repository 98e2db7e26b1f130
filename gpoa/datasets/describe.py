"""What was read of an image file, for people who wonder why its mask looks as it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpoa.config import ReadingConfig
from gpoa.datasets.image_io import count_pages, is_projected, load_image, read_page, stored_orientation
from gpoa.datasets.intensity import valid_of
from gpoa.datasets.raster import Raster, chosen_channels, windows_of

SHADES = " .:-=+*#%@"


def describe_image(path: Path, reading: ReadingConfig) -> dict[str, Any]:
    """Facts of the page that `load_image` shows.

    Args:
        path: the file.
        reading: as for `load_image`.

    Returns:
        Names and plain values. `size` is (width x height) standing upright; an EXIF orientation is told.

    Raises:
        ImageError: the file cannot be read.
    """
    pages = count_pages(path)
    stored = read_page(path, 0, bool(reading.channels))
    shown = load_image(path, reading)
    facts: dict[str, Any] = {"size": f"{shown.shape[1]} x {shown.shape[0]} (width x height, upright)"}
    turn = stored_orientation(path)
    if turn != 1:
        facts["turned"] = f"stored with EXIF orientation {turn}; sizes, masks, points are of the upright picture"
    facts |= {"pages": pages, "page shown": "maximum projection" if is_projected(path, reading) else 0}
    if isinstance(stored, Raster):
        return facts | _of_raster(stored, reading)
    bands = " ".join(stored.getbands())
    facts |= {"kind": stored.format, "type": "8 bits", "channels": bands}
    return facts | {"window": "none, 8 bits are taken as they are"}


def _of_raster(stored: Raster, reading: ReadingConfig) -> dict[str, Any]:
    """Facts of the values."""
    shape, windows = "x".join(map(str, stored.values.shape)), windows_of(stored, reading)
    values = stored.values[..., : stored.channels]
    facts: dict[str, Any] = {"kind": stored.kind, "type": str(values.dtype)}
    facts["shape"] = f"{shape} (rows x columns x channels)"
    facts["channels"] = f"{stored.channels}{' and opacity' if stored.alpha else ''}"
    facts["channels shown"] = " ".join(map(str, chosen_channels(stored, reading)))
    valid = np.ones(values.shape, bool) if values.dtype == np.bool_ else valid_of(values, stored.nodata)
    facts["values"] = f"{values[valid].min():g} to {values[valid].max():g}" if valid.any() else "none"
    facts["no measurement"] = f"{100 * (1 - valid.mean()):.1f} % of the values"
    pairs = [f"{pair[0]:g} to {pair[1]:g}" if pair else "none, taken as they are" for pair in windows]
    facts["window"] = ", ".join(dict.fromkeys(pairs)) + (", small values white" if stored.inverted else "")
    return facts


def draw_text(image: np.ndarray, columns: int = 64) -> str:
    """An image as lines of characters, from a space for black to @ for white.

    Args:
        image: [H, W, 3] uint8.
        columns: characters a line, at most; a character is twice as high as wide.
    """
    height, width = image.shape[:2]
    columns = min(columns, width)
    rows = max(1, round(height * columns / width / 2))
    grey = np.asarray(Image.fromarray(image).convert("L").resize((columns, rows), Image.Resampling.BOX))
    places = grey.astype(int) * len(SHADES) // 256
    return "\n".join("".join(SHADES[place] for place in row) for row in places)
