"""The report of `gpoa run --instances`: how many objects each image holds, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.instances.measuring import Table
from gpoa.report.charts import BLUE, size_histogram
from gpoa.report.html import Column, Line, decimal, figure, paragraph, table, text
from gpoa.report.page import PagePart, render_page
from gpoa.runtime.atomic import write_atomic

BINS = 30


def write_object_report(path: Path, tables: Sequence[tuple[str, Table]], command: str) -> None:
    """Writes the page, atomically.

    Args:
        path: the HTML file.
        tables: (image, its measurements as `gpoa.instances.measuring.read_csv` gives them), in order.
        command: what was typed.

    Raises:
        DataError: the file cannot be written.
    """
    name, unit = _diameter_column(tables)
    sizes = {image: np.array(list(one.get(name, ())), dtype=float) for image, one in tables}
    every = np.concatenate([*sizes.values(), np.empty(0)])
    counts = [len(one) for one in sizes.values()]
    lead = paragraph(
        f"{sum(counts)} objects in {len(counts)} images; a median of {np.median(counts) if counts else 0:g} an image."
    )
    parts = [
        PagePart("counts", "Counts", _counts(sizes, tables, unit)),
        PagePart("sizes", "Sizes", _sizes(every, unit)),
        PagePart("command", "Command", paragraph(command)),
    ]
    page = render_page("Objects", lead, parts)
    write_atomic(path, page.encode("utf-8", "backslashreplace"))


def _diameter_column(tables: Sequence[tuple[str, Table]]) -> tuple[str, str]:
    """The column of diameters that every image has, in physical units where it can be, and its unit."""
    prefix = "equivalent_diameter_"
    shared = [set(one) for _, one in tables if one]
    names = [name for name in (set.intersection(*shared) if shared else ()) if name.startswith(prefix)]
    name = min(names, key=lambda one: one.endswith("_px"), default=f"{prefix}px")
    return name, name.removeprefix(prefix)


def _counts(sizes: dict[str, np.ndarray], tables: Sequence[tuple[str, Table]], unit: str) -> str:
    """A line an image."""
    lines = []
    for (image, one), diameters in zip(tables, sizes.values(), strict=True):
        quartiles = np.quantile(diameters, [0.25, 0.5, 0.75]) if len(diameters) else [None] * 3
        border = sum(int(value) for value in one.get("touches_border", ()))
        sure = np.array(list(one.get("confidence", ())), dtype=float)
        cells = [text(image), str(len(diameters)), str(border), *(decimal(value, 2) for value in quartiles)]
        lines.append(Line([*cells, decimal(float(sure.mean()) if len(sure) else None)]))
    columns = [Column("Image", False), Column("Objects"), Column("At the border")]
    columns += [Column(f"Diameter {name}, {unit}") for name in ("25 %", "median", "75 %")]
    return table("Objects of each image", [*columns, Column("Mean confidence")], lines)


def _sizes(diameters: np.ndarray, unit: str) -> str:
    """The histogram of all objects."""
    if not len(diameters):
        return ""
    chart = size_histogram("Sizes of all objects", diameters, BINS, f"equivalent diameter, {unit}", BLUE)
    return figure(chart, f"Equivalent diameters of all {len(diameters)} objects, {BINS} bins.")
