"""What can be measured of objects, by `skimage.measure.regionprops_table`, in pixels and in physical units.

`circularity` is 4 pi area / perimeter^2, 1 for a disc (that of small objects, whose perimeter is known roughly only, is
clipped to 1). Mean intensity is that of the grey level from 0 to 255, as the models saw the image. Centroids are
(x, y), whole numbers at pixel centres; boxes are (x, y, width, height) from the image's upper left edge, as in COCO.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gpoa.errors import DataError, ModelError, one_line
from gpoa.instances.objects import Objects
from gpoa.instances.pixel_size import PixelSize
from gpoa.instances.seeds import MISSING

Table = dict[str, np.ndarray]
"""Column -> one value an object, by ascending number."""
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Luminance of red, green and blue (ITU-R BT.601)."""
_MEASURED = ("label", "area", "equivalent_diameter_area", "perimeter", "eccentricity", "centroid", "bbox")
DIGITS = 4


def measure(objects: Objects, image: np.ndarray, pixel: PixelSize | None = None) -> Table:
    """Measures all objects of an image.

    Args:
        objects: of the image.
        image: [H, W, 3] uint8 RGB.
        pixel: its physical size; None leaves the physical columns out.

    Returns:
        The columns of `objects.csv` but the image's name.

    Raises:
        ModelError: scikit-image is not installed.
    """
    try:
        from skimage.measure import regionprops_table
    except ImportError as error:
        raise ModelError(MISSING) from error
    grey = image.astype(np.float32) @ GREY
    # The grey level is summed here: regionprops would hold a copy of each object's window.
    raw = regionprops_table(objects.labels.astype(np.int32), properties=_MEASURED)
    area = raw["area"].astype(np.float64)
    total = np.bincount(objects.labels.reshape(-1), grey.reshape(-1), minlength=objects.count + 1)[1:]
    top, left, bottom, right = (raw[f"bbox-{side}"].astype(np.int64) for side in range(4))
    height, width = objects.labels.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        roundness = np.where(raw["perimeter"] > 0, 4 * np.pi * area / raw["perimeter"] ** 2, 1.0)
    table: Table = {
        "id": raw["label"],
        "area_px": area.astype(np.int64),
        "equivalent_diameter_px": raw["equivalent_diameter_area"],
        "perimeter_px": raw["perimeter"],
        "circularity": np.clip(roundness, 0, 1),
        "eccentricity": raw["eccentricity"],
        "centroid_x": raw["centroid-1"],
        "centroid_y": raw["centroid-0"],
        "box_x": left,
        "box_y": top,
        "box_width": right - left,
        "box_height": bottom - top,
        "mean_intensity": total / np.maximum(area, 1),
        "touches_border": (top == 0) | (left == 0) | (bottom == height) | (right == width),
        "confidence": objects.scores,
        "outline": np.where(objects.by_segmenter, "sam", "watershed"),
    }
    return table if pixel is None else {**table, **_physical(table, pixel)}


def _physical(table: Table, pixel: PixelSize) -> Table:
    """Lengths and areas in the unit of the pixel's size; of pixels that are no squares, lengths by their geometric
    mean."""
    side = np.sqrt(pixel.width * pixel.height)
    return {
        f"area_{pixel.unit}2": table["area_px"] * pixel.width * pixel.height,
        f"equivalent_diameter_{pixel.unit}": table["equivalent_diameter_px"] * side,
        f"perimeter_{pixel.unit}": table["perimeter_px"] * side,
    }


def to_csv(tables: Mapping[str, Table] | Sequence[tuple[str, Table]]) -> str:
    """Tables of several images as one CSV; a column that an image lacks is empty there.

    Args:
        tables: the image's name and its table, in the order of the file.
    """
    named = list(tables.items() if isinstance(tables, Mapping) else tables)
    columns = list(dict.fromkeys(name for _, table in named for name in table))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *columns])
    for image, table in named:
        for row in range(len(table.get("id", ()))):
            writer.writerow([image, *(_cell(table[name][row]) if name in table else "" for name in columns)])
    return text.getvalue()


def read_csv(path: Path) -> Table:
    """What `to_csv` wrote of one image: columns of text, without the image's name.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        names, values = rows[0], np.array(rows[1:], dtype=object).reshape(len(rows) - 1, len(rows[0]))
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)}); run the same command again") from error
    return {name: values[:, place] for place, name in enumerate(names) if name != "image"}


def _cell(value: object) -> object:
    """A value as the file has it."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    return round(float(value), DIGITS) if isinstance(value, (float, np.floating)) else value
