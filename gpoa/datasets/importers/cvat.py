"""CVAT for images 1.1: polygons, masks, boxes. Format: https://docs.cvat.ai/docs/other/xml_format."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

import numpy as np

from gpoa.datasets.importers.shapes import Shape
from gpoa.datasets.polygons import fill_rings
from gpoa.types import Size


def images_of(root: Element) -> Iterator[tuple[str, Size, Element]]:
    """The images of a file: (file name, (H, W), the element with its shapes)."""
    for image in root.iter("image"):
        yield image.attrib["name"], (int(image.attrib["height"]), int(image.attrib["width"])), image


def shapes_of(image: Element, size: Size) -> list[Shape]:
    """The objects of one image.

    Args:
        image: from `images_of`.
        size: (H, W).

    Raises:
        LookupError, ValueError: a shape is damaged.
    """
    fill = {"polygon": _polygon, "mask": _mask, "box": _box}
    return [Shape(one.attrib.get("label", "object"), fill[one.tag](one, size)) for one in image if one.tag in fill]


def _polygon(shape: Element, size: Size) -> np.ndarray:
    points = [[float(value) for value in point.split(",")] for point in shape.attrib["points"].split(";")]
    return fill_rings([np.asarray(points)], size)


def _box(shape: Element, size: Size) -> np.ndarray:
    x0, y0, x1, y1 = (float(shape.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    return fill_rings([np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])], size)


def _mask(shape: Element, size: Size) -> np.ndarray:
    left, top, width, height = (int(shape.attrib[name]) for name in ("left", "top", "width", "height"))
    counts = np.asarray([int(value) for value in shape.attrib["rle"].split(",")])
    values = np.repeat(np.arange(counts.size) % 2 == 1, counts)
    if values.size != width * height or left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
        raise ValueError(f"a mask of {values.size} pixels does not fill its box of {width}x{height} in the image")
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = values.reshape(height, width)
    return mask
