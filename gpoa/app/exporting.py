"""The masks of a project in the forms that other programs read: those of `gpoa export`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpoa.app.project import Project
from gpoa.datasets.exporters.collection import Entry, open_run
from gpoa.datasets.exporters.registry import EXPORTERS
from gpoa.datasets.exporters.registry import export as write
from gpoa.errors import DataError
from gpoa.pipeline.outputs import coco_names, mask_path


def export(project: Project, to: str) -> dict[str, Any]:
    """Writes all masks that there are, those that nobody checked included.

    Args:
        project: whose masks.
        to: masks (they are in masks/ already), or a format of `gpoa export`.

    Returns:
        `path`, where they are; `count`, of how many images; `failed` and `notes`, lines for people.

    Raises:
        DataError: there is no mask, the format is not known, a package is missing, or a file cannot be written.
    """
    samples = [one.sample for one in project.entries]
    done = {one.stem for one in samples if mask_path(project.output, one).is_file()}
    if not done:
        raise DataError("there is no mask yet; accept one, or segment the folder, first")
    if to == "masks":
        return {"path": str(project.output / "masks"), "count": len(done), "failed": [], "notes": []}
    if to not in EXPORTERS:
        raise DataError(f"{to}: not a format; known are masks, {', '.join(EXPORTERS)}")
    names = dict(zip((one.stem for one in samples), coco_names(samples), strict=True))
    collection = open_run(project.output)
    # `run.json` does not know the images that were accepted since, nor those before the first run.
    entries = tuple(_named(project, one, names[one.stem]) for one in collection.entries if one.stem in done)
    folder = project.output / "export" / to
    written = write(replace(collection, entries=entries), to, folder)
    return {"path": str(folder), "count": written.images, "failed": written.failed, "notes": written.notes}


def _named(project: Project, entry: Entry, name: str) -> Entry:
    """An entry with its image, whatever `run.json` says of it."""
    one = project.entries[project.by_stem[entry.stem]]
    sure = 1.0 if one.accepted is not None else one.confidence
    return replace(entry, name=name, image_path=one.sample.image_path, page=one.sample.page, confidence=sure)


def formats() -> list[dict[str, str]]:
    """What the page offers: `to`, and `about` it in a few words."""
    own = {"to": "masks", "about": "masks/*.png, 0 and 255; they are written all along"}
    return [own, *({"to": name, "about": one.about} for name, one in EXPORTERS.items())]
