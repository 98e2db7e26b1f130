"""Label images, with the coordinate system of the image (GeoTIFF) or without, and GeoJSON.

GeoJSON is in longitude and latitude (RFC 7946) where the image has a coordinate system, else in pixels from the upper
left corner, as QuPath reads it. An image without a coordinate system is exported all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.exporters.collection import Collection, Entry, Objects, Thing
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.datasets.geo import copy_georeference, to_longitude_latitude
from gpoa.datasets.label_io import save_labels
from gpoa.datasets.outlines import Part, outlines
from gpoa.runtime.atomic import encode_json, write_atomic


def write_labels(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes *.tif and classes.json; see `gpoa.datasets.exporters.registry.export`."""
    return _rasters(collection, folder, georeferenced=False)


def write_geotiff(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes *.tif with the images' coordinate systems and classes.json."""
    return _rasters(collection, folder, georeferenced=True)


def write_geojson(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes a feature collection an image, a feature an object."""
    written = Written()
    for entry, objects in written.each(collection):
        found = outlines(objects.ids, options.simplify)
        features = [_feature(entry, thing, found[thing.number], collection.classes) for thing in objects.things]
        with written.attempt(entry):
            place = None if entry.image_path is None else to_longitude_latitude(entry.image_path)
            if place is not None:
                features = [{**feature, "geometry": place(feature["geometry"])} for feature in features]
        path = folder / f"{entry.stem}.geojson"
        write_atomic(path, encode_json({"type": "FeatureCollection", "features": features}))
        written.files.append(path)
    return written


def _rasters(collection: Collection, folder: Path, georeferenced: bool) -> Written:
    """One label image an image: of objects where the run numbers them, else of classes."""
    written, placed = Written(), 0
    for entry, objects in written.each(collection):
        path = folder / f"{entry.stem}.tif"
        save_labels(path, objects.ids)
        with written.attempt(entry):
            if georeferenced and entry.image_path is not None:
                placed += copy_georeference(entry.image_path, path)
        written.files.append(path)
    if georeferenced and placed < written.images:
        written.notes.append(f"{written.images - placed} of {written.images} images have no coordinate system")
    if collection.kind != "instances" and not collection.components:  # the numbers are classes
        written.files.append(folder / "classes.json")
        write_atomic(written.files[-1], encode_json({str(key): name for key, name in collection.classes.items()}))
    return written


def _feature(entry: Entry, thing: Thing, parts: list[Part], classes: dict[int, str]) -> dict[str, Any]:
    """One object, in pixels. RFC 7946 wants exteriors counterclockwise with y upwards, which is clockwise on a map
    whose rows run down.
    """
    polygons = [[_closed(ring) for ring in (part.exterior, *part.holes)] for part in parts]
    single = len(polygons) == 1
    geometry = {"type": "Polygon" if single else "MultiPolygon", "coordinates": polygons[0] if single else polygons}
    facts = {"image": entry.name, "object": thing.number, "class": classes[thing.class_id]}
    return {"type": "Feature", "properties": {**facts, "confidence": thing.confidence}, "geometry": geometry}


def _closed(ring: np.ndarray) -> list[list[float]]:
    """A ring that ends where it begins, the other way round: see `_feature`."""
    points = ring[::-1].tolist()
    return [*points, points[0]]


def objects_table(objects: Objects, classes: dict[int, str]) -> list[dict[str, Any]]:
    """What a table says of each object: area, box, centre.

    Args:
        objects: of one image.
        classes: id -> name.

    Returns:
        One row an object; x and y in pixels, integers at pixel centres, the box from pixel edge to pixel edge.
    """
    from scipy import ndimage

    windows = ndimage.find_objects(objects.ids)
    rows = []
    for thing in objects.things:
        window = windows[thing.number - 1]
        inside = np.argwhere(objects.ids[window] == thing.number)
        top, left = window[0].start, window[1].start
        y, x = inside.mean(axis=0) + (top, left)
        facts = {"object": thing.number, "class": classes[thing.class_id], "confidence": thing.confidence}
        box = {"x0": left, "y0": top, "x1": window[1].stop, "y1": window[0].stop}
        rows.append({**facts, "area": len(inside), "x": round(float(x), 2), "y": round(float(y), 2), **box})
    return rows
