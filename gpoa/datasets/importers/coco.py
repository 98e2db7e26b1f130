"""COCO: a json file for many images. Format: https://cocodataset.org/#format-data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gpoa.datasets.coco import rle_to_mask
from gpoa.datasets.importers.shapes import Shape
from gpoa.datasets.polygons import polygons_to_mask
from gpoa.errors import ModelError
from gpoa.types import Size


def images_of(content: dict[str, Any]) -> Iterator[tuple[str, Size, list[dict[str, Any]]]]:
    """The images of a COCO file: (file name, (H, W), annotations with `label`, the category's name)."""
    names = {one["id"]: str(one.get("name", one["id"])) for one in content.get("categories", ())}
    found: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        number = one.get("category_id")
        found[one["image_id"]].append({**one, "label": names.get(number, str(number))})
    for image in content["images"]:
        yield str(image["file_name"]), (int(image["height"]), int(image["width"])), found[image["id"]]


def shapes_of(annotations: Sequence[dict[str, Any]], size: Size) -> list[Shape]:
    """The objects of one image.

    Args:
        annotations: from `images_of`.
        size: (H, W) of the image.

    Raises:
        ModelError: a segmentation needs pycocotools, which is not installed.
        LookupError, TypeError, ValueError: a segmentation is damaged.
    """
    return [Shape(one["label"], decode_segmentation(one["segmentation"], size)) for one in annotations]


def decode_segmentation(segmentation: Any, size: Sequence[int]) -> np.ndarray:
    """[H, W] bool of one COCO segmentation: uncompressed RLE, compressed RLE, or polygons.

    Args:
        segmentation: as the file has it.
        size: (H, W) of the image.

    Raises:
        ModelError: it needs pycocotools, which is not installed.
        LookupError, TypeError, ValueError: it is damaged.
    """
    height, width = size
    if isinstance(segmentation, dict):
        if [int(side) for side in segmentation["size"]] != [height, width]:
            raise ValueError(f"size {segmentation['size']} of the segmentation is not the image's {[height, width]}")
        if not isinstance(segmentation["counts"], str):
            return rle_to_mask(segmentation)
    else:
        with contextlib.suppress(ValueError, TypeError):  # polygons along the pixel edges, as we write them
            if segmentation:
                return polygons_to_mask(segmentation, (height, width))
    try:
        from pycocotools import mask as coding
    except ImportError as error:
        raise ModelError("COCO polygons and compressed RLE need pycocotools: pip install pycocotools") from error
    if isinstance(segmentation, dict):
        return coding.decode(segmentation).astype(bool)
    if not segmentation or any(len(ring) < 6 or len(ring) % 2 for ring in segmentation):
        raise ValueError("a polygon needs three or more points [x, y, x, y, ...]")
    return coding.decode(coding.merge(coding.frPyObjects(segmentation, height, width))).astype(bool)
