"""Label Studio: a json list of tasks, each with annotations or predictions; polygons, brushes, boxes and ellipses.

Format: https://labelstud.io/guide/task_format. A brush is a picture of four channels in the run lengths of rle-pack
(thi.ng), of which the last channel is the mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from gpoa.datasets.importers.shapes import Shape
from gpoa.datasets.polygons import fill_rings
from gpoa.types import Size

ELLIPSE_POINTS = 360


def images_of(tasks: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Size | None, list[dict[str, Any]]]]:
    """The images of an export: (file name, (H, W) where a region says, regions).

    An annotation wins over a prediction, the last one over earlier ones; a cancelled one does not count.
    """
    for task in tasks:
        done = [one for one in task.get("annotations") or task.get("completions") or () if not one.get("was_cancelled")]
        chosen = (done or task.get("predictions") or [{}])[-1]
        regions = [one for one in chosen.get("result", ()) if str(one.get("type", "")) in SHAPES]
        size = (int(regions[0]["original_height"]), int(regions[0]["original_width"])) if regions else None
        address = next((str(value) for value in task["data"].values() if isinstance(value, str)), "")
        yield PurePosixPath(unquote(address.split("?d=")[-1])).as_posix(), size, regions


def shapes_of(regions: Sequence[dict[str, Any]], size: Size) -> list[Shape]:
    """The objects of one image.

    Args:
        regions: from `images_of`.
        size: (H, W) of the image.

    Raises:
        LookupError, TypeError, ValueError: a region is damaged.
    """
    shapes = []
    for region in regions:
        kind, value = region["type"], region["value"]
        labels = value.get(kind) or ["object"]
        shapes.append(Shape(str(labels[0]), SHAPES[kind](value, size)))
    return shapes


def _polygon(value: dict[str, Any], size: Size) -> np.ndarray:
    path = np.asarray(value["points"], dtype=np.float64) * (size[1] / 100, size[0] / 100)
    return fill_rings([path], size)


def _box(value: dict[str, Any], size: Size) -> np.ndarray:
    """A box, turned about its upper left corner."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (value["width"], value["height"])
    corners = corners * (size[1] / 100, size[0] / 100)
    turn = np.deg2rad(value.get("rotation", 0))
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return fill_rings([turned + (value["x"] * size[1] / 100, value["y"] * size[0] / 100)], size)


def _ellipse(value: dict[str, Any], size: Size) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)
    path = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (value["radiusX"], value["radiusY"])
    return fill_rings([(path + (value["x"], value["y"])) * (size[1] / 100, size[0] / 100)], size)


def _brush(value: dict[str, Any], size: Size) -> np.ndarray:
    picture = unpack(value["rle"])
    if picture.size != size[0] * size[1] * 4:
        raise ValueError(f"a brush of {picture.size // 4} pixels, but its image has {size[0] * size[1]}")
    return picture.reshape(*size, 4)[..., 3] > 127


SHAPES = {"polygonlabels": _polygon, "brushlabels": _brush, "rectanglelabels": _box, "ellipselabels": _ellipse}
"""Kind of region -> what fills it."""


def unpack(rle: Sequence[int]) -> np.ndarray:
    """Decodes rle-pack: 32 bits the number of values, 5 the size of a value, four times 4 the sizes of a run's length;
    then runs: one bit whether it repeats, two which size its length has, the length, and its one value or its values.

    Args:
        rle: bytes, each in [0, 255].

    Returns:
        [number of values] uint8.

    Raises:
        ValueError: it ends too early.
    """
    bits = np.unpackbits(np.asarray(rle, dtype=np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        if place > bits.size:
            raise ValueError("the brush's run lengths end too early")
        return int(bits[place - count : place] @ (1 << np.arange(count - 1, -1, -1, dtype=np.int64)))

    total, width = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values, filled = np.zeros(total, dtype=np.uint8), 0
    while filled < total:
        repeats = take(1)
        count = take(sizes[take(2)]) + 1
        if repeats:
            values[filled : filled + count] = take(width)
        else:
            values[filled : filled + count] = [take(width) for _ in range(count)]
        filled += count
    return values
