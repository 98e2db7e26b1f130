"""CSV: one row for each object of all images."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from gpoa.datasets.exporters.collection import Collection
from gpoa.datasets.exporters.geo import objects_table
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.runtime.atomic import write_atomic

COLUMNS = ("image", "object", "class", "confidence", "area", "x", "y", "x0", "y0", "x1", "y1", "width", "height")


def write(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes objects.csv; an image without objects has a row with its name and size only."""
    written, text = Written([folder / "objects.csv"]), io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    rows.writeheader()
    for entry, objects in written.each(collection):
        image = {"image": entry.name, "width": objects.size[1], "height": objects.size[0]}
        for row in objects_table(objects, collection.classes) or [{}]:
            rows.writerow({**image, **row})
    write_atomic(written.files[0], text.getvalue().encode())
    return written
