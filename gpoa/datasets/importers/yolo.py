"""YOLO segmentation: a text file an image, see `gpoa.datasets.exporters.yolo`."""

from __future__ import annotations

import numpy as np

from gpoa.datasets.importers.shapes import Shape
from gpoa.datasets.polygons import fill_rings
from gpoa.types import Size


def shapes_of(text: str, size: Size) -> list[Shape]:
    """The objects of one image, labelled by the number of their class.

    Args:
        text: of the file.
        size: (H, W) of the image.

    Raises:
        ValueError: a line is no polygon.
    """
    shapes = []
    for number, line in enumerate(text.splitlines(), start=1):
        label, *values = line.split() or [""]
        if not label:
            continue
        if len(values) < 6 or len(values) % 2:
            raise ValueError(f"line {number}: a class and three or more points are expected, not a box or part of one")
        path = np.asarray(values, dtype=np.float64).reshape(-1, 2) * (size[1], size[0])
        shapes.append(Shape(str(int(label)), fill_rings([path], size)))
    return shapes
