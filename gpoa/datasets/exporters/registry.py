"""The formats by name, and the one function that writes any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpoa.datasets.exporters import coco, cvat, geo, imagej, label_studio, napari, table, yolo
from gpoa.datasets.exporters.collection import Collection
from gpoa.datasets.exporters.writing import Options, Written

FormatName = Literal[
    "coco", "yolo-seg", "labels", "geojson", "geotiff", "imagej-rois", "label-studio", "cvat", "csv", "napari"
]


@dataclass(frozen=True)
class Exporter:
    """One format.

    Args:
        write: the collection into a folder.
        about: what it writes, in a few words.
    """

    write: Callable[[Collection, Path, Options], Written]
    about: str


EXPORTERS: dict[str, Exporter] = {
    "coco": Exporter(coco.write, "annotations.json: polygons, or run lengths"),
    "yolo-seg": Exporter(yolo.write, "labels/*.txt, images/, dataset.yaml"),
    "labels": Exporter(geo.write_labels, "*.tif of 16 or 32 bits"),
    "geojson": Exporter(geo.write_geojson, "*.geojson in longitude and latitude, or in pixels"),
    "geotiff": Exporter(geo.write_geotiff, "*.tif with the image's coordinate system"),
    "imagej-rois": Exporter(imagej.write, "*.zip, one ROI an object"),
    "label-studio": Exporter(label_studio.write, "tasks.json with predictions, label_config.xml"),
    "cvat": Exporter(cvat.write, "annotations.xml (CVAT for images 1.1), labels.json"),
    "csv": Exporter(table.write, "objects.csv, one row an object"),
    "napari": Exporter(napari.write, "*.tif label layers, *.csv shapes layers"),
}
EXACT = Options()
"""Borders as they are."""


def export(collection: Collection, to: str, folder: Path, options: Options = EXACT) -> Written:
    """Writes a run's masks in one format.

    Args:
        collection: from `open_run`.
        to: a key of `EXPORTERS`.
        folder: receives the files, each written atomically.
        options: how.

    Returns:
        The files, the objects, and what failed: one bad image does not end the rest.

    Raises:
        DataError: a package is missing, or the folder cannot be written.
        KeyError: there is no such format.
    """
    return EXPORTERS[to].write(collection, folder, options)
