"""Compares a folder of predicted masks with a folder of true ones, each at the truth's own size.

Nothing is resized, filtered or skipped: a prediction that is missing, unreadable or of another size counts as 0.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpoa.atomic import write_atomic
from gpoa.datasets.folder import MASK_FOLDERS, find_samples, list_images, match_stems
from gpoa.datasets.image_io import load_mask
from gpoa.errors import DataError, GpoaError
from gpoa.evaluation.metrics import CONVENTIONS, MaskScores, score_masks
from gpoa.types import Sample

Status = Literal["ok", "missing", "failed"]
METRICS = ("iou", "dice", "precision", "recall", "accuracy")
COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")


@dataclass(frozen=True)
class Row:
    """One image of the truth.

    Args:
        image: stem of the true mask.
        status: "ok"; "missing" without a prediction; "failed" where a file is corrupt or the sizes differ.
        scores: None unless the status is "ok".
        message: what went wrong, else empty.
    """

    image: str
    status: Status
    scores: MaskScores | None = None
    message: str = ""

    def value(self, metric: str) -> float:
        """The score under the name of one of `METRICS`; 0 where nothing could be compared."""
        return 0.0 if self.scores is None else getattr(self.scores, metric)


@dataclass(frozen=True)
class Summary:
    """What `evaluate_folders` found and wrote.

    Args:
        rows: one for each image of the truth, in natural order.
        unmatched_predictions: file names of predictions without a truth.
        table_path: `metrics.csv`.
        summary_path: `summary.json`.
    """

    rows: tuple[Row, ...]
    unmatched_predictions: tuple[str, ...]
    table_path: Path
    summary_path: Path

    @property
    def n_missing(self) -> int:
        """Images without a prediction."""
        return sum(row.status == "missing" for row in self.rows)

    @property
    def n_failed(self) -> int:
        """Images whose files could not be compared."""
        return sum(row.status == "failed" for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        return {
            **{metric: _statistics([row.value(metric) for row in self.rows]) for metric in METRICS},
            "n_images": len(self.rows),
            "n_missing": self.n_missing,
            "n_failed": self.n_failed,
            "missing": [row.image for row in self.rows if row.status == "missing"],
            "failed": [{"image": row.image, "message": row.message} for row in self.rows if row.status == "failed"],
            "unmatched_predictions": list(self.unmatched_predictions),
            "conventions": {
                **CONVENTIONS,
                "missing_or_failed": "every score is 0, and the image is part of all statistics",
                "resolution": "masks are compared at the size of the true mask; nothing is resized or filtered",
                "std": "population standard deviation (divisor n)",
            },
        }


def evaluate_folders(predictions: Path, ground_truth: Path, output: Path, progress: bool = False) -> Summary:
    """Scores every true mask's prediction and writes `metrics.csv` and `summary.json`, each atomically.

    Args:
        predictions: folder of masks, or a folder that holds them in `masks/` (as `gpoa run` writes it).
        ground_truth: folder of masks, likewise. Files are matched by stem, `_mask`, `_gt` and the like left out.
        output: receives the two files.
        progress: show a bar, where standard error is a terminal.

    Returns:
        The rows, what was left over, and where the files are.

    Raises:
        DataError: a folder does not exist or holds no image, or `output` cannot be written.
    """
    truths, predicted = _mask_samples(Path(ground_truth)), _mask_samples(Path(predictions))
    pairs = match_stems([s.stem for s in truths], [s.stem for s in predicted])
    partners = [predicted[pairs[i]] if i in pairs else None for i in range(len(truths))]
    work = list(zip(truths, partners, strict=True))
    rows = tuple(_evaluate(truth, partner) for truth, partner in (_with_bar(work) if progress else work))
    used = set(pairs.values())
    left_over = tuple(s.image_path.name for i, s in enumerate(predicted) if i not in used)
    summary = Summary(rows, left_over, Path(output) / "metrics.csv", Path(output) / "summary.json")
    write_atomic(summary.table_path, _table(rows).encode("utf-8"))
    text = json.dumps(summary.to_dict(), indent=2, ensure_ascii=False) + "\n"
    write_atomic(summary.summary_path, text.encode("utf-8"))
    return summary


def _mask_samples(folder: Path) -> list[Sample]:
    """The masks of a folder, or of the `masks/` in it: beside that, `gpoa run` puts pictures that are no masks."""
    if folder.is_file():
        raise DataError(f"{folder}: is a file, but a folder of masks is expected")
    inner = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), folder)
    return find_samples(list_images(inner))


def _evaluate(truth: Sample, prediction: Sample | None) -> Row:
    """One row; a file that cannot be used becomes part of the row, not an error."""
    try:
        true_mask = load_mask(truth.image_path, allow_empty=True)
        if prediction is None:
            return Row(truth.stem, "missing", message="no prediction of this name")
        mask = load_mask(prediction.image_path, true_mask.shape, allow_empty=True)
    except (GpoaError, OSError) as error:
        return Row(truth.stem, "failed", message=" ".join(str(error).split()))
    return Row(truth.stem, "ok", score_masks(mask, true_mask))


def _statistics(values: Sequence[float]) -> dict[str, float]:
    """Mean, median, standard deviation, smallest and largest of one or more values."""
    functions = {"mean": np.mean, "median": np.median, "std": np.std, "min": np.min, "max": np.max}
    return {name: float(function(values)) for name, function in functions.items()}


def _table(rows: Sequence[Row]) -> str:
    """The text of `metrics.csv`; counts are left blank where nothing could be compared."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "status", *METRICS, *COUNTS, "message"])
    for row in rows:
        counts = [""] * len(COUNTS) if row.scores is None else [getattr(row.scores, name) for name in COUNTS]
        writer.writerow([row.image, row.status, *(f"{row.value(m):.6f}" for m in METRICS), *counts, row.message])
    return text.getvalue()


def _with_bar(work: list[tuple[Sample, Sample | None]]) -> Any:
    """The work with a progress bar around it."""
    from tqdm import tqdm

    return tqdm(work, desc="evaluate", unit="image", disable=None, leave=False)
