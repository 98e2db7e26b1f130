"""napari: a label image and a shapes table an image, which its built-in readers open by dragging them into the window.

The table has one polygon an object (`index, shape-type, vertex-index, axis-0, axis-1`, axis 0 is y, integers at pixel
centres); holes and several parts are joined by bridges.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from gpoa.datasets.exporters.collection import Collection, Objects
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.datasets.label_io import save_labels
from gpoa.datasets.outlines import one_path, outlines
from gpoa.runtime.atomic import write_atomic


def write(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes *.tif and *.csv; see `gpoa.datasets.exporters.registry.export`."""
    written = Written()
    for entry, objects in written.each(collection):
        labels, shapes = folder / f"{entry.stem}.tif", folder / f"{entry.stem}.csv"
        save_labels(labels, objects.ids)
        write_atomic(shapes, _shapes(objects, options.simplify).encode())
        written.files += [labels, shapes]
    return written


def _shapes(objects: Objects, simplify: float) -> str:
    """The shapes table of one image."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["index", "shape-type", "vertex-index", "axis-0", "axis-1"])
    for index, parts in enumerate(outlines(objects.ids, simplify).values()):
        for place, (x, y) in enumerate(one_path(parts) - 0.5):
            rows.writerow([index, "polygon", place, f"{y:g}", f"{x:g}"])
    return text.getvalue()
