"""CVAT for images 1.1: annotations.xml to upload, and labels.json for the task's "Raw" label editor.

An object in one piece without holes is a polygon; any other is a mask (run lengths row by row inside its box,
background first), so that it stays one object. The confidence is the attribute `confidence`, which labels.json
declares. Format: https://docs.cvat.ai/docs/other/xml_format.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from gpoa.datasets.exporters.collection import Collection, Objects, Thing
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.datasets.outlines import Part, outlines
from gpoa.runtime.atomic import encode_json, write_atomic


def write(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes annotations.xml and labels.json; see `gpoa.datasets.exporters.registry.export`."""
    written = Written([folder / "annotations.xml", folder / "labels.json"])
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for number, (entry, objects) in enumerate(written.each(collection)):
        height, width = objects.size
        facts = {"id": str(number), "name": entry.name, "width": str(width), "height": str(height)}
        _add_shapes(ElementTree.SubElement(root, "image", facts), objects, collection.classes, options.simplify)
    ElementTree.indent(root)
    write_atomic(written.files[0], ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    attribute = {"name": "confidence", "input_type": "text", "mutable": False, "values": [""], "default_value": ""}
    labels = [{"name": name, "attributes": [attribute]} for name in collection.classes.values()]
    write_atomic(written.files[1], encode_json(labels))
    return written


def _add_shapes(
    image: ElementTree.Element, objects: Objects, classes: dict[int, str], simplify: float
) -> None:
    """The objects of one image."""
    found = outlines(objects.ids, simplify)
    for thing in objects.things:
        parts = found[thing.number]
        shared = {"label": classes[thing.class_id], "source": "auto", "occluded": "0"}
        if len(parts) == 1 and not parts[0].holes:
            facts = {**shared, "points": _points(parts[0]), "z_order": "0"}
            shape = ElementTree.SubElement(image, "polygon", facts)
        else:
            facts = {**shared, **_run_lengths(objects.ids, thing), "z_order": "0"}
            shape = ElementTree.SubElement(image, "mask", facts)
        if thing.confidence is not None:
            ElementTree.SubElement(shape, "attribute", {"name": "confidence"}).text = f"{thing.confidence:.4f}"


def _points(part: Part) -> str:
    """x,y;x,y"""
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in part.exterior)


def _run_lengths(ids: np.ndarray, thing: Thing) -> dict[str, str]:
    """The attributes of a mask."""
    rows, columns = np.nonzero(ids == thing.number)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    flat = (ids[top:bottom, left:right] == thing.number).reshape(-1)
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(changes, prepend=0, append=flat.size)
    box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {"rle": ", ".join(map(str, counts.tolist())), **{name: str(int(value)) for name, value in box.items()}}
