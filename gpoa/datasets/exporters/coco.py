"""COCO: one json file for all images, an annotation for every object.

Exact polygons are cut where an object has a hole, since COCO's list of polygons is their union
(`gpoa.datasets.polygons`); simplified ones become a path with a bridge to the hole. `score` holds the confidence, as
COCO's results do. Format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpoa.datasets.coco import annotation, document, mask_to_rle
from gpoa.datasets.exporters.collection import Collection, Objects
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.datasets.outlines import one_path, outlines
from gpoa.datasets.polygons import mask_to_polygons
from gpoa.runtime.atomic import encode_json, write_atomic


def write(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes annotations.json; see `gpoa.datasets.exporters.registry.export`."""
    written = Written([folder / "annotations.json"])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (entry, objects) in enumerate(written.each(collection), start=1):
        height, width = objects.size
        images.append({"id": number, "file_name": entry.name, "width": width, "height": height})
        segmentations = _segmentations(objects, options)
        for thing in objects.things:
            mask = objects.ids == thing.number
            made = annotation(len(annotations) + 1, number, mask, segmentations[thing.number], thing.class_id)
            if thing.confidence is not None:
                made["score"] = round(thing.confidence, 5)
            annotations.append(made)
    write_atomic(written.files[0], encode_json(document(images, annotations, collection.classes)))
    return written


def _segmentations(objects: Objects, options: Options) -> dict[int, Any]:
    """Object number -> its segmentation."""
    if options.rle:
        return {thing.number: mask_to_rle(objects.ids == thing.number) for thing in objects.things}
    if options.simplify <= 0:
        return {thing.number: mask_to_polygons(objects.ids == thing.number) for thing in objects.things}
    simple = outlines(objects.ids, options.simplify)
    return {number: [one_path([part]).round(2).reshape(-1).tolist() for part in simple[number]] for number in simple}
