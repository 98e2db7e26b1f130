"""The report of `gpoa evaluate`: one folder of masks, with or without ground truth and images."""

from __future__ import annotations

import json
import logging
import platform
from pathlib import Path
from typing import Any

import numpy as np

from gpoa import __version__
from gpoa.config import ReadingConfig
from gpoa.datasets.folder import find_samples, match_stems
from gpoa.datasets.mask_io import load_mask
from gpoa.datasets.pages import expand_pages, load_sample
from gpoa.datasets.prompt_file import read_prompts
from gpoa.errors import GpoaError
from gpoa.evaluation.evaluator import Row, Summary
from gpoa.evaluation.instances import CONVENTIONS as INSTANCE_CONVENTIONS
from gpoa.evaluation.mask_files import find_masks, mask_folder
from gpoa.evaluation.metrics import CONVENTIONS
from gpoa.report.report import Case, Report, choose_cases, write_report
from gpoa.types import PointPrompts

logger = logging.getLogger(__name__)

METHOD = "prediction"
STATUS = {"ok": "ok", "missing": "failed", "failed": "failed", "unscored": "ok"}


def report_folder(
    summary: Summary,
    predictions: Path,
    ground_truth: Path | None,
    images: Path | None,
    path: Path,
    cases: int = 3,
    command: str = "",
) -> Path:
    """Writes the report of an evaluation.

    Args:
        summary: from `evaluate_folders`.
        predictions: as given to it.
        ground_truth: as given to it.
        images: folder of the images, for pictures; None leaves them out.
        path: the HTML file.
        cases: pictures of the worst, the median and the best masks each.
        command: what was typed.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be written, or `images` holds no image.
    """
    rows = [_row(row) for row in summary.all_rows]
    settings = _run_settings(predictions)
    report = Report(
        title=f"Masks in {predictions}",
        rows=rows,
        ours=METHOD,
        start=None,
        methods={METHOD: {"title": "prediction", "description": f"the masks of {predictions}"}},
        cases=[] if images is None else _cases(summary, rows, ground_truth, images, predictions, cases),
        config=settings.get("config", {}),
        cards={name: str(value) for name, value in settings.get("models", {}).items()},
        conventions={**CONVENTIONS, **(INSTANCE_CONVENTIONS if summary.instances_from else {})},
        command=command,
        environment={"gpoa": __version__, "python": platform.python_version(), "system": platform.platform()},
        remarks=summary.remarks,
        notes=tuple(f"{row.status}: {row.image}: {row.message}" for row in summary.all_rows if row.message),
    )
    return write_report(report, path)


def _row(row: Row) -> dict[str, Any]:
    """A row of the evaluation as the report wants it."""
    return {
        "class": "masks", "reference": "", "image": row.image, "method": METHOD, "seed": 0,
        "status": "absent" if row.found == "absent" else STATUS[row.status],
        **row.scores,
        "confidence": row.confidence,
    }


def _run_settings(predictions: Path) -> dict[str, Any]:
    """What `gpoa run` wrote of itself beside the masks; empty where there is nothing."""
    for folder in (predictions, predictions.parent):
        try:
            return json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return {}


def _cases(
    summary: Summary, rows: list[dict[str, Any]], truth: Path | None, images: Path, predictions: Path, count: int
) -> list[Case]:
    """The pictures; an image that cannot be shown is passed over with a word."""
    wanted = dict.fromkeys(key[2] for keys in choose_cases(rows, METHOD, count).values() for key in keys)
    if not wanted:  # neither scores nor confidences to choose by
        wanted = dict.fromkeys(row["image"] for row in rows[: 3 * count])
    by_name = {row.image: row for row in summary.all_rows}
    samples, names = expand_pages(find_samples(images, recursive=True), ReadingConfig()), list(wanted)
    pairs = match_stems(names, [sample.stem for sample in samples])
    truths = {} if truth is None else {source.stem: source for source in find_masks(truth, coco=True)}
    found = []
    for place, name in enumerate(names):
        row = by_name[name]
        if place not in pairs or row.prediction is None:
            logger.warning("%s: no picture of it in %s", name, images)
            continue
        try:
            image = load_sample(samples[pairs[place]], ReadingConfig())
            mask = load_mask(row.prediction, image.shape[:2], allow_empty=True)
            true_mask = truths[name].read().mask if name in truths else None
        except (GpoaError, OSError) as error:
            logger.warning("no picture of %s: %s", name, error)
            continue
        found.append(_case(row, image, mask, true_mask, _prompts(predictions, row.prediction.stem)))
    return found


def _case(
    row: Row, image: np.ndarray, mask: np.ndarray, truth: np.ndarray | None, prompts: PointPrompts | None
) -> Case:
    """The pictures of one image."""
    return Case(
        class_name="masks",
        reference_name="",
        image_name=row.image,
        method=METHOD,
        scores=dict(row.scores),
        confidence=row.confidence,
        reference_image=None,
        reference_mask=None,
        image=image,
        mask=mask,
        truth=truth,
        prompts=prompts,
    )


def _prompts(predictions: Path, stem: str) -> PointPrompts | None:
    """The prompts behind a mask, where `gpoa run` left them."""
    path = mask_folder(predictions).parent / "optimized_prompts" / f"{stem}.json"
    try:
        return read_prompts(path).prompts if path.is_file() else None
    except GpoaError:
        return None
