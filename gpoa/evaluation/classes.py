"""Scores of each class, where predictions and truth are label images of the same classes.

A class's IoU is over the images in which truth or prediction has it; its pooled IoU counts the pixels of all images
together, as semantic segmentation's mean IoU does (Everingham et al. 2010, Pascal VOC). A prediction that is missing or
unreadable counts as background everywhere.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.exporters.collection import read_labels
from gpoa.datasets.folder import match_stems
from gpoa.errors import DataError, GpoaError
from gpoa.evaluation.mask_files import MaskSource, find_masks
from gpoa.runtime.atomic import write_atomic

Row = tuple[str, str, int, int]
"""Stem, class, shared pixels, pixels of either."""


def classes_of(predictions: Path) -> dict[int, str]:
    """The classes that a run's `run.json` names: number -> name; none where it is no run of several classes."""
    for folder in (predictions, predictions.parent):
        try:
            plain = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            return {int(number): str(name) for number, name in plain.get("classes", {}).items()}
        except (OSError, ValueError, AttributeError):
            continue
    return {}


def evaluate_classes(
    predictions: Path, ground_truth: Path, output: Path, classes: Mapping[int, str]
) -> dict[str, dict[str, Any]]:
    """Scores each class and writes `classes.csv`, one row an image and class.

    Args:
        predictions: the output folder of a run of several classes.
        ground_truth: folder of label images with the same numbers.
        output: receives the file.
        classes: number -> name.

    Returns:
        Name -> `iou`, the mean over the images that have the class; `pooled_iou`, of all pixels; `n` images. The first
        two are None where no image has the class.

    Raises:
        DataError: the truth is no folder of label images.
    """
    if not ground_truth.is_dir():
        raise DataError(f"{ground_truth}: classes are scored against a folder of label images")
    truths, found = find_masks(ground_truth), find_masks(predictions)
    pairs = match_stems([one.stem for one in truths], [one.stem for one in found])
    rows: list[Row] = []
    for place, truth in enumerate(truths):
        rows += _image(truth, found[pairs[place]] if place in pairs else None, classes)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "class", "iou", "intersection", "union"])
    table.writerows([stem, name, f"{shared / union:.6f}", shared, union] for stem, name, shared, union in rows)
    write_atomic(output / "classes.csv", text.getvalue().encode())
    return {name: _summary([row for row in rows if row[1] == name]) for name in classes.values()}


def _image(truth: MaskSource, prediction: MaskSource | None, classes: Mapping[int, str]) -> list[Row]:
    """One row for each class that truth or prediction has."""
    try:
        true = read_labels(truth.path)
    except GpoaError:  # the report of the masks says so
        return []
    guess = np.zeros_like(true)
    if prediction is not None:
        try:
            read = read_labels(prediction.path)
            guess = read if read.shape == true.shape else guess
        except GpoaError:
            pass
    rows = []
    for number, name in classes.items():
        ours, theirs = guess == number, true == number
        union = int((ours | theirs).sum())
        if union:
            rows.append((truth.stem, name, int((ours & theirs).sum()), union))
    return rows


def _summary(rows: list[Row]) -> dict[str, Any]:
    """The scores of one class."""
    if not rows:
        return {"iou": None, "pooled_iou": None, "n": 0}
    shared, union = (np.array([row[place] for row in rows]) for place in (2, 3))
    return {"iou": float((shared / union).mean()), "pooled_iou": float(shared.sum() / union.sum()), "n": len(rows)}
