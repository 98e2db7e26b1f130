"""ImageJ: a zip of ROIs an image, which ImageJ's ROI manager and QuPath open.

An object in one piece without holes is a freehand ROI; any other is a composite ROI of all its rings, and stays one
object. Coordinates are pixel corners, as ImageJ has them.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.exporters.collection import Collection, Entry, Objects
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.datasets.outlines import Part, outlines
from gpoa.datasets.raster import missing
from gpoa.errors import DataError
from gpoa.runtime.atomic import write_atomic

MOVE, LINE, CLOSE = 0, 1, 4
"""Steps of a composite ROI's path."""


def write(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes *.zip; see `gpoa.datasets.exporters.registry.export`."""
    try:
        import roifile  # noqa: F401
    except ImportError as error:
        raise DataError(missing("ImageJ ROIs", "roifile", "export")) from error
    written = Written()
    for entry, objects in written.each(collection):
        path = folder / f"{entry.stem}.zip"
        write_atomic(path, _zipped(entry, objects, collection.classes, options.simplify))
        written.files.append(path)
    return written


def _zipped(entry: Entry, objects: Objects, classes: dict[int, str], simplify: float) -> bytes:
    """The zip of one image."""
    content, found = io.BytesIO(), outlines(objects.ids, simplify)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for thing in objects.things:
            name = f"{thing.number:05d}-{classes[thing.class_id].replace('/', '_')}"
            file.writestr(f"{name}.roi", _roi(found[thing.number], name).tobytes())
    return content.getvalue()


def _roi(parts: list[Part], name: str) -> Any:
    """An `ImagejRoi` of an object."""
    from roifile import ROI_TYPE, ImagejRoi

    rings = [ring for part in parts for ring in (part.exterior, *part.holes)]
    whole = all((ring % 1 == 0).all() for ring in rings)
    roi = ImagejRoi.frompoints(rings[0].astype(np.int32) if whole else rings[0].astype(np.float32), name=name)
    if len(rings) == 1:
        return roi
    every = np.concatenate(rings)
    roi.roitype, roi.integer_coordinates, roi.subpixel_coordinates, roi.n_coordinates = ROI_TYPE.RECT, None, None, 0
    roi.left, roi.top = (int(value) for value in np.floor(every.min(axis=0)))
    roi.right, roi.bottom = (int(value) for value in np.ceil(every.max(axis=0)))
    steps: list[float] = []
    for ring in rings:
        for place, (x, y) in enumerate(ring.tolist()):
            steps += [LINE if place else MOVE, x, y]
        steps.append(CLOSE)
    roi.multi_coordinates = np.asarray(steps, dtype=np.float32)
    roi.shape_roi_size = len(steps)
    return roi
