"""Masks as one COCO json file, and its run-length encoding; `gpoa.datasets.polygons` makes the polygons.

Format: https://cocodataset.org/#format-data. Boxes are (x, y, width, height) in pixels
from the image's upper left edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.options import CocoFile
from gpoa.datasets.polygons import mask_to_polygons
from gpoa.runtime.atomic import encode_json, write_atomic


def mask_to_rle(mask: np.ndarray) -> dict[str, list[int]]:
    """Encodes a mask as COCO's uncompressed run-length encoding.

    Args:
        mask: [H, W] bool.

    Returns:
        `size` [H, W] and `counts`: the lengths of alternating runs of background and foreground down the columns,
        background first (0 long where the first pixel is foreground).

    Raises:
        ValueError: the mask is not [H, W] bool.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask: expected [H, W] bool, got {mask.shape} {mask.dtype}")
    flat = mask.reshape(-1, order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))  # where a run of the other kind begins
    counts = np.diff(changes, prepend=0, append=flat.size)
    return {"size": [int(side) for side in mask.shape], "counts": counts.tolist()}


def rle_to_mask(rle: dict[str, Any]) -> np.ndarray:
    """Decodes COCO's uncompressed run-length encoding; the inverse of `mask_to_rle`.

    Args:
        rle: `size` [H, W] and `counts`, a list of integers.

    Returns:
        [H, W] bool.

    Raises:
        ValueError: `counts` is a string (compressed), holds a negative number, or does not add up to H * W.
    """
    if isinstance(rle["counts"], (str, bytes)):
        raise ValueError("counts: compressed RLE; decode it with pycocotools")
    height, width = (int(side) for side in rle["size"])
    counts = np.asarray(rle["counts"], dtype=np.int64)
    if (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(f"counts: add up to {counts.sum()}, expected {height} * {width}, none negative")
    values = np.arange(counts.size) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def write_coco(
    file: CocoFile | Path | str, entries: Iterable[tuple[str, np.ndarray]], category: str = "object"
) -> None:
    """Writes masks as one COCO json file, atomically; the same masks give the same bytes.

    An annotation covers all foreground of its image, and `iscrowd` is 0, because annotation tools and COCO's evaluation
    leave crowd regions out. Polygons run along the pixel edges: every part of the object is a polygon of its own, and a
    part with holes is cut into hole-free pieces, so that the polygons decode to exactly the mask (there is no need to
    fall back to run lengths). An empty mask gives an image without annotation, since COCO has no empty object.

    Args:
        file: the json file; its folder is made. A plain path means polygons.
        entries: (file name of the image, mask [H, W] bool), one for each image; may be a generator.
        category: name of the one category, whose id is 1.

    Raises:
        ValueError: a mask is not [H, W] bool.
        DataError: the file cannot be written.
    """
    file = file if isinstance(file, CocoFile) else CocoFile(Path(file))
    encode = mask_to_rle if file.segmentation == "rle" else mask_to_polygons
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, mask) in enumerate(entries, start=1):
        segmentation = encode(mask)
        height, width = mask.shape
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        if mask.any():
            annotations.append(annotation(len(annotations) + 1, number, mask, segmentation))
    write_atomic(file.path, encode_json(document(images, annotations, {1: category})))


def write_coco_objects(
    file: CocoFile | Path | str, entries: Iterable[tuple[str, np.ndarray, Sequence[float]]], category: str = "object"
) -> None:
    """Writes the objects of label images as one COCO json file, one annotation each; else like `write_coco`.

    Args:
        file: as in `write_coco`.
        entries: (file name of the image, [H, W] integer objects 1 to n, confidence of each), one for each image; may be
            a generator. The confidence is written as `score`, as in COCO's results.
        category: name of the one category, whose id is 1.

    Raises:
        DataError: the file cannot be written.
    """
    from scipy import ndimage

    file = file if isinstance(file, CocoFile) else CocoFile(Path(file))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, labels, scores) in enumerate(entries, start=1):
        height, width = labels.shape
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for place, window in enumerate(ndimage.find_objects(labels), start=1):
            if window is None:
                continue
            mask, top, left = labels[window] == place, window[0].start, window[1].start
            if file.segmentation == "rle":
                segmentation: Any = _rle_at(mask, top, left, height, width)
            else:
                segmentation = mask_to_polygons(mask, top, left)
            made = annotation(len(annotations) + 1, number, mask, segmentation)
            made["bbox"] = [left, top, mask.shape[1], mask.shape[0]]
            annotations.append({**made, "score": round(float(scores[place - 1]), 4)})
    write_atomic(file.path, encode_json(document(images, annotations, {1: category})))


def _rle_at(mask: np.ndarray, top: int, left: int, height: int, width: int) -> dict[str, list[int]]:
    """`mask_to_rle` of an image that is empty but for a window, without making it.

    Args:
        mask: [h, w] bool of the window.
        top, left: place of its upper left pixel.
        height, width: of the image.
    """
    edges = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T  # down each column
    columns, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    base = (columns + left) * height + top
    ends = np.stack([base + starts, base + stops], axis=1).reshape(-1)
    joints = np.flatnonzero(np.diff(ends) == 0)  # the run goes on in the next column
    ends = np.delete(ends, np.concatenate([joints, joints + 1]))
    return {"size": [height, width], "counts": np.diff(ends, prepend=0, append=height * width).tolist()}


def document(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], categories: dict[int, str]
) -> dict[str, Any]:
    """A COCO file's content.

    Args:
        images: their entries.
        annotations: from `annotation`.
        categories: id -> name.
    """
    return {
        "info": {"description": "masks by gpoa"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in categories.items()],
    }


def annotation(
    number: int, image_id: int, mask: np.ndarray, segmentation: Any, category_id: int = 1
) -> dict[str, Any]:
    """The annotation of one object.

    Args:
        number: its id.
        image_id: of its image.
        mask: [H, W] bool with at least one foreground pixel.
        segmentation: polygons or run lengths of the mask.
        category_id: of its class.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "iscrowd": 0,
    }
