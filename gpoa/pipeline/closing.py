"""What a run writes when its images are done: the contact sheet, the COCO file, `run.json`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpoa import __version__
from gpoa.datasets.coco import write_coco
from gpoa.datasets.folder import spaced
from gpoa.datasets.mask_io import load_mask
from gpoa.datasets.options import CocoFile
from gpoa.errors import GpoaError
from gpoa.pipeline.outputs import coco_names, leftovers, mask_path, overlay_path, save_picture
from gpoa.pipeline.progress import Item, Report, some
from gpoa.runtime.atomic import encode_json, write_atomic
from gpoa.types import Sample
from gpoa.viewer.overlays import Tile, contact_sheet, draw_overlay

logger = logging.getLogger(__name__)

SHEET_TILES = 48
"""At most this many images are on the contact sheet, evenly spaced."""


def close_run(
    output: Path,
    samples: Sequence[Sample],
    report: Report,
    coco: CocoFile | Path | None,
    shots: Sequence[tuple[np.ndarray, np.ndarray]],
    facts: dict[str, Any] | None = None,
) -> None:
    """Writes what needs all images; what cannot be written is noted in the report, and the rest is tried.

    Args:
        output: the run's output folder.
        samples: all images.
        report: what became of them; gets notes.
        coco: where the COCO file goes; None writes none.
        shots: the labelled examples, for the contact sheet.
        facts: what `run.json` says of models and settings; None writes none.
    """
    strangers = leftovers(output, samples)
    if strangers:
        belongs = "files belong" if len(strangers) > 1 else "file belongs"
        report.notes.append(
            f"{output / 'masks'}: {len(strangers)} {belongs} to no target of this run ({some(strangers)})"
        )
    parts: dict[str, Callable[[], None]] = {}
    parts["contact_sheet.jpg"] = lambda: _write_sheet(output, samples, report, shots)
    if coco is not None:
        name = (coco.path if isinstance(coco, CocoFile) else coco).name
        parts[name] = lambda: _write_coco(output, samples, report, coco)
    if facts is not None:
        parts["run.json"] = lambda: _write_run_file(output, samples, report, facts)
    for name, write in parts.items():
        try:
            write()
        except GpoaError as error:
            report.unwritten[name] = str(error)


def _finished(samples: Sequence[Sample], report: Report) -> dict[Sample, Item]:
    """The images that have a mask, and what became of them."""
    done = {item.stem: item for item in report.items if item.status != "failed"}
    return {sample: done[sample.stem] for sample in samples if sample.stem in done}


def _write_sheet(
    output: Path, samples: Sequence[Sample], report: Report, shots: Sequence[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Writes the contact sheet, references first."""
    finished = list(_finished(samples, report).items())
    if not finished:
        return
    tiles = [Tile(draw_overlay(image, mask), "reference") for image, mask in shots]
    for sample, item in (finished[place] for place in spaced(len(finished), SHEET_TILES)):
        try:
            with Image.open(overlay_path(output, sample)) as picture:
                tiles.append(Tile(picture.copy(), _caption(item)))
        except OSError:  # removed or damaged meanwhile: a sheet without it is better than none
            logger.warning("%s: cannot be read, so the contact sheet goes without it", overlay_path(output, sample))
    if tiles:
        save_picture(contact_sheet(tiles), output / "contact_sheet.jpg")


def _write_coco(output: Path, samples: Sequence[Sample], report: Report, coco: CocoFile | Path) -> None:
    """Writes all masks as one COCO file."""
    names = dict(zip(samples, coco_names(samples), strict=True))
    finished = _finished(samples, report)
    write_coco(coco, [(names[sample], load_mask(mask_path(output, sample), allow_empty=True)) for sample in finished])


def _caption(item: Item) -> str:
    """Name and confidence."""
    name = item.stem.encode("utf-8", "replace").decode("utf-8")  # a name that is not UTF-8 cannot be drawn
    if item.confidence is None:
        return name
    if item.confidence <= 0:
        return f"{name}   not found"
    return f"{name}   {item.confidence:.2f}" + ("   absent?" if item.doubtful else "")


def _write_run_file(output: Path, samples: Sequence[Sample], report: Report, facts: dict[str, Any]) -> None:
    """Writes what was done with what, so that it can be repeated, and where each image is, for exports."""
    places = {sample.stem: {"path": str(sample.image_path.absolute()), "page": sample.page} for sample in samples}
    images = [{**item.plain, **places.get(item.stem, {})} for item in report.items]
    outcome = {"seconds": round(report.seconds, 3), "interrupted": report.interrupted}
    plain = {"gpoa": __version__, **facts, **outcome, "images": images}
    write_atomic(output / "run.json", encode_json(plain, indent=1))
