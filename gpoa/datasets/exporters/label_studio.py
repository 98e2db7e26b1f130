"""Label Studio: tasks with predictions to import, and the labelling configuration that goes with them.

A prediction is a polygon an object, in percent of width and height; holes and several parts are joined by bridges, so
that an object stays one region. The score of a region is its confidence, that of a task the lowest of its regions, by
which Label Studio sorts. Format: https://labelstud.io/guide/predictions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from gpoa import __version__
from gpoa.datasets.exporters.collection import Collection, Entry, Objects
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.datasets.outlines import one_path, outlines
from gpoa.runtime.atomic import encode_json, write_atomic


def write(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes tasks.json and label_config.xml; see `gpoa.datasets.exporters.registry.export`."""
    written = Written([folder / "tasks.json", folder / "label_config.xml"])
    tasks = [_task(entry, objects, collection.classes, options) for entry, objects in written.each(collection)]
    write_atomic(written.files[0], encode_json(tasks))
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in collection.classes.values())
    polygons = f'  <PolygonLabels name="label" toName="image">\n{labels}  </PolygonLabels>\n'
    text = f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n{polygons}</View>\n'
    write_atomic(written.files[1], text.encode())
    return written


def _task(entry: Entry, objects: Objects, classes: dict[int, str], options: Options) -> dict[str, Any]:
    """One image."""
    height, width = objects.size
    found, regions = outlines(objects.ids, options.simplify), []
    shared: dict[str, Any] = {"from_name": "label", "to_name": "image", "type": "polygonlabels", "image_rotation": 0}
    for thing in objects.things:
        points = one_path(found[thing.number]) * 100 / (width, height)
        value = {"points": points.round(6).tolist(), "closed": True, "polygonlabels": [classes[thing.class_id]]}
        region = {"id": f"gpoa-{thing.number}", **shared, "original_width": width, "original_height": height}
        score = {} if thing.confidence is None else {"score": round(thing.confidence, 5)}
        regions.append({**region, "value": value, **score})
    scores = [thing.confidence for thing in objects.things if thing.confidence is not None]
    prediction: dict[str, Any] = {"model_version": f"gpoa {__version__}", "result": regions}
    prediction |= {"score": round(min(scores), 5)} if scores else {}
    data = {"image": options.image_root + quote(entry.name)}
    return {"data": data, "predictions": [prediction]}
