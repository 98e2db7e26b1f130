"""The masks of a project in the forms that other programs read."""

from __future__ import annotations

from typing import Any

from gpoa.app.project import Project
from gpoa.datasets.coco import write_coco
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError
from gpoa.pipeline.outputs import coco_names, mask_path

COCO_FILE = "coco.json"


def export(project: Project, to: str) -> dict[str, Any]:
    """Writes all masks that there are.

    Args:
        project: whose masks.
        to: masks (they are in masks/ already) or coco.

    Returns:
        `path`, where they are, and `count`, how many.

    Raises:
        DataError: there is no mask, the form is not known, or a file cannot be written.
        MaskError: a mask is damaged.
    """
    samples = [one.sample for one in project.entries]
    done = [sample for sample in samples if mask_path(project.output, sample).is_file()]
    if not done:
        raise DataError("there is no mask yet; accept one, or segment the folder, first")
    if to == "masks":
        return {"path": str(project.output / "masks"), "count": len(done)}
    if to != "coco":
        raise DataError(f"{to}: not a form that masks are exported in; known are masks, coco")
    names = dict(zip(samples, coco_names(samples), strict=True))
    masks = ((names[one], load_mask(mask_path(project.output, one), allow_empty=True)) for one in done)
    write_coco(project.output / COCO_FILE, masks)
    return {"path": str(project.output / COCO_FILE), "count": len(done)}
