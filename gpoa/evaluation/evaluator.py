"""Compares a folder of predicted masks with the true ones, each at the truth's own size, and writes what it found.

Nothing is resized, filtered or skipped: a prediction that is missing, unreadable or of another size counts as 0 (as the
image diagonal, where the metric is a distance). Without truth, only areas and confidences are written.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from gpoa.datasets.folder import match_stems
from gpoa.datasets.prompt_file import read_prompts
from gpoa.errors import GpoaError, MaskError, PromptError
from gpoa.evaluation.instances import CONVENTIONS as INSTANCE_CONVENTIONS
from gpoa.evaluation.instances import INSTANCE_METRICS, InstanceScores, compact, pool, score_instances
from gpoa.evaluation.mask_files import MaskContent, MaskSource, find_masks, mask_folder
from gpoa.evaluation.metrics import (
    CONVENTIONS,
    HIGHER_IS_BETTER,
    METRICS,
    MaskScores,
    paired_bootstrap,
    score_all,
    score_masks,
)
from gpoa.runtime.atomic import write_atomic

Status = Literal["ok", "missing", "failed", "unscored"]
COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")
WORKERS = 2
"""Threads; reading pictures and most of the metrics run outside Python's lock."""
SAMPLES = 2000
"""Bootstrap samples of each mean."""
Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One image.

    Args:
        image: stem of the true mask; of the prediction, where there is no truth.
        status: "ok"; "missing" without a prediction; "failed" where a file is corrupt or the sizes differ; "unscored"
            without a truth.
        scores: by the names of `METRICS`. Missing and failed rows hold the worst: 0, for distances the image diagonal,
            which is left out where the truth cannot be read. Empty without a truth.
        counts: pixel counts; None unless the status is "ok".
        message: what went wrong, else empty.
        truth: file of the true mask, or None.
        prediction: file of the predicted mask, or None.
        area: foreground pixels of the prediction; None where it cannot be read.
        n_labels: objects that the true mask tells apart; None where it cannot be read.
        confidence: what `gpoa run` expected of the mask, in [0, 1]; None where no prompt file says.
        found: "ok", "absent" or "doubtful" as `gpoa run` judged; empty where no prompt file says.
        instances: object scores, where they were asked for and the truth can be read.
    """

    image: str
    status: Status
    scores: Mapping[str, float] = field(default_factory=dict)
    counts: MaskScores | None = None
    message: str = ""
    truth: Path | None = None
    prediction: Path | None = None
    area: int | None = None
    n_labels: int | None = None
    confidence: float | None = None
    found: str = ""
    instances: InstanceScores | None = None

    def value(self, metric: str) -> float | None:
        """The score under the name of one of `METRICS`; None where there is none."""
        return self.scores.get(metric)


@dataclass(frozen=True)
class Summary:
    """What `evaluate_folders` found and wrote.

    Args:
        rows: one for each image of the truth, in natural order; empty without ground truth.
        unscored: one for each prediction without a truth.
        has_truth: whether ground truth was given.
        table_path: `metrics.csv`.
        summary_path: `summary.json`.
        instances_from: what the objects are, (of the prediction, of the truth), each "labels" or "components"; None
            where objects were not asked for.
    """

    rows: tuple[Row, ...]
    unscored: tuple[Row, ...]
    has_truth: bool
    table_path: Path
    summary_path: Path
    instances_from: tuple[str, str] | None = None

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """The rows of the truth, then those without."""
        return self.rows + self.unscored

    @property
    def unmatched_predictions(self) -> tuple[str, ...]:
        """File names of predictions without a truth; empty where no truth was given."""
        if not self.has_truth:
            return ()
        return tuple(row.prediction.name for row in self.unscored if row.prediction is not None)

    @property
    def n_missing(self) -> int:
        """Images without a prediction."""
        return sum(row.status == "missing" for row in self.rows)

    @property
    def n_failed(self) -> int:
        """Images whose files could not be compared, or read."""
        return sum(row.status == "failed" for row in self.all_rows)

    @property
    def n_several_labels(self) -> int:
        """True masks that tell several objects apart."""
        return sum((row.n_labels or 0) > 1 for row in self.rows)

    @property
    def usable(self) -> tuple[Row, ...]:
        """The rows whose prediction is there and could be compared."""
        return tuple(row for row in self.rows if row.status == "ok")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be known before the means are read, a line each: other means, empty true masks."""
        lines, gone = [], len(self.rows) - len(self.usable)
        if gone and self.usable:
            with_gone, without = (np.mean([row.scores["iou"] for row in rows]) for rows in (self.rows, self.usable))
            lines.append(
                f"mean IoU {with_gone:.4f} with {gone} missing or unusable predictions counted as 0, "
                f"{without:.4f} over the {len(self.usable)} that are there"
            )
        empty = [row.image for row in self.rows if row.n_labels == 0]
        if empty and len(empty) == len(self.rows):
            lines.append(
                "every true mask is empty: check --ground-truth; a score is 1 where nothing was predicted, else 0"
            )
        elif empty:
            names = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
            lines.append(
                f"{len(empty)} of {len(self.rows)} true masks are empty ({names}): these images score 1 or 0 only"
            )
        return tuple(lines)

    @property
    def exit_code(self) -> int:
        """0 where every name had its partner and every file could be used, else 1."""
        return int(self.n_missing > 0 or self.n_failed > 0 or len(self.unmatched_predictions) > 0)

    def to_dict(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        confidences = [row.confidence for row in self.all_rows if row.confidence is not None]
        found = [row.found for row in self.all_rows]
        shared = {
            "n_images": len(self.rows) if self.has_truth else len(self.unscored),
            "n_failed": self.n_failed,
            "failed": [{"image": row.image, "message": row.message} for row in self.all_rows if row.status == "failed"],
            "confidence": _statistics(confidences) if confidences else None,
            "n_absent": found.count("absent"),
            "n_doubtful": found.count("doubtful"),
        }
        if not self.has_truth:
            names = ("image", "area", "confidence", "found")
            return {**shared, "images": [{name: getattr(row, name) for name in names} for row in self.unscored]}
        scores = {metric: [row.value(metric) for row in self.rows] for metric in METRICS}
        return {
            **{metric: _statistics([v for v in values if v is not None]) for metric, values in scores.items()},
            **shared,
            "usable": {
                "n": len(self.usable),
                **{name: float(np.mean([row.scores[name] for row in self.usable])) for name in METRICS if self.usable},
            },
            "remarks": list(self.remarks),
            "n_missing": self.n_missing,
            "missing": [row.image for row in self.rows if row.status == "missing"],
            "unmatched_predictions": list(self.unmatched_predictions),
            "n_several_labels": self.n_several_labels,
            **({} if self.instances_from is None else {"instances": self._instances()}),
            "conventions": _conventions(self.instances_from is not None),
        }

    def _instances(self) -> dict[str, Any]:
        """Object scores: of all objects together, and over images."""
        assert self.instances_from is not None, "objects were not scored"
        scores = [row.instances for row in self.rows if row.instances is not None]
        together, each = pool(scores), [score.values() for score in scores]
        return {
            "predicted_from": self.instances_from[0],
            "true_from": self.instances_from[1],
            **{name: getattr(together, name) for name in ("n_predicted", "n_true", "matched")},
            "pooled": together.values(),
            "per_image": {name: _statistics([values[name] for values in each]) for name in INSTANCE_METRICS},
        }


def evaluate_folders(
    predictions: Path, ground_truth: Path | None, output: Path, progress: bool = False, instances: bool = False
) -> Summary:
    """Scores every true mask's prediction and writes `metrics.csv` and `summary.json`, each atomically.

    Args:
        predictions: folder of masks, or a folder that holds them in `masks/` (as `gpoa run` writes it).
        ground_truth: folder of masks, likewise, or a COCO json file. Files are matched by stem, `_mask`, `_gt` and the
            like left out. None writes areas and confidences only.
        output: receives the two files.
        progress: show a bar, where standard error is a terminal.
        instances: also score objects. They are what the true masks (and the predicted ones) number, where any of them
            holds several labels, else the connected components.

    Returns:
        The rows, what was left over, and where the files are.

    Raises:
        DataError: a folder does not exist or holds no image, or `output` cannot be written.
        ValueError: `instances` without ground truth.
    """
    if instances and ground_truth is None:
        raise ValueError("instances: objects can be scored against ground truth only; give ground_truth")
    truths = [] if ground_truth is None else find_masks(Path(ground_truth), coco=True)
    predicted, prompts = find_masks(Path(predictions)), _prompt_folder(Path(predictions))
    pairs = match_stems([s.stem for s in truths], [s.stem for s in predicted])
    used, work = set(pairs.values()), [(t, predicted[pairs[i]] if i in pairs else None) for i, t in enumerate(truths)]
    kinds = (_objects_from(predicted), _objects_from(truths)) if instances else None
    rows = tuple(_map(lambda pair: _with_prompt(_evaluate(*pair, kinds), pair[1], prompts), work, progress))
    extra = [source for index, source in enumerate(predicted) if index not in used]
    more_progress = progress and ground_truth is None
    unscored = tuple(_map(lambda source: _with_prompt(_unscored(source), source, prompts), extra, more_progress))
    files = Path(output) / "metrics.csv", Path(output) / "summary.json"
    summary = Summary(rows, unscored, ground_truth is not None, *files, kinds)
    write_atomic(summary.table_path, _table(summary).encode("utf-8"))
    text = json.dumps(summary.to_dict(), indent=2, ensure_ascii=False) + "\n"
    write_atomic(summary.summary_path, text.encode("utf-8"))
    return summary


def _evaluate(truth: MaskSource, prediction: MaskSource | None, kinds: tuple[str, str] | None) -> Row:
    """One row; a file that cannot be used becomes part of the row, not an error."""
    true = found = None
    status: Status
    try:
        true = truth.read()
        found = None if prediction is None else prediction.read()
        if prediction is not None and found is not None and found.mask.shape != true.mask.shape:
            raise MaskError(_size_message(prediction.path, found.mask.shape, true.mask.shape))
        status, message = ("ok", "") if found is not None else ("missing", "no prediction of this name")
    except (GpoaError, OSError) as error:
        status, message = "failed", " ".join(str(error).split())
    path = None if prediction is None else prediction.path
    area = None if found is None else int(np.count_nonzero(found.mask))
    row = Row(truth.stem, status, message=message, truth=truth.path, prediction=path, area=area)
    if true is None:
        return replace(row, scores=_worst(None))
    objects = None if kinds is None else _score_objects(found if status == "ok" else None, true, kinds)
    row = replace(row, n_labels=true.n_labels, instances=objects)
    if status != "ok" or found is None:
        return replace(row, scores=_worst(math.hypot(*true.mask.shape)))
    return replace(row, scores=score_all(found.mask, true.mask), counts=score_masks(found.mask, true.mask))


def _unscored(prediction: MaskSource) -> Row:
    """The row of a prediction without a truth."""
    try:
        mask = prediction.read().mask
    except (GpoaError, OSError) as error:
        return Row(prediction.stem, "failed", message=" ".join(str(error).split()), prediction=prediction.path)
    return Row(prediction.stem, "unscored", prediction=prediction.path, area=int(np.count_nonzero(mask)))


def _worst(diagonal: float | None) -> dict[str, float]:
    """The scores of an image that could not be compared."""
    worst = {name: 0.0 if HIGHER_IS_BETTER[name] else diagonal for name in METRICS}
    return {name: value for name, value in worst.items() if value is not None}


def _score_objects(found: MaskContent | None, true: MaskContent, kinds: tuple[str, str]) -> InstanceScores:
    """Object scores of one image; without a usable prediction every true object is missed."""
    from_labels, true_from_labels = (kind == "labels" for kind in kinds)
    labels = np.zeros(true.mask.shape, dtype=np.int64) if found is None else found.objects(from_labels)
    assert isinstance(labels, np.ndarray)  # predictions are pictures
    if true_from_labels and true.crowd is not None:
        # COCO does not blame objects that lie where several are marked as one region.
        labels, count = compact(labels)
        inside = np.bincount(labels[true.crowd], minlength=count + 1)
        labels = np.where((2 * inside > np.bincount(labels.reshape(-1), minlength=count + 1))[labels], 0, labels)
    return score_instances(labels, true.objects(true_from_labels))


def _objects_from(sources: Sequence[MaskSource]) -> str:
    """ "labels" where any file tells several objects apart, else "components"."""

    def several(source: MaskSource) -> bool:
        try:
            return source.read().n_labels > 1
        except (GpoaError, OSError):  # reported when its row is made
            return False

    return "labels" if any(several(source) for source in sources) else "components"


def _prompt_folder(predictions: Path) -> Path | None:
    """Where `gpoa run` keeps what it expected of each mask: beside `masks/`."""
    places = [predictions / "optimized_prompts", mask_folder(predictions).resolve().parent / "optimized_prompts"]
    return next((place for place in places if place.is_dir()), None)


def _with_prompt(row: Row, prediction: MaskSource | None, prompts: Path | None) -> Row:
    """The row with confidence and judgement of the prediction's prompt file; without one that can be read, the row."""
    if prediction is None or prompts is None:
        return row
    try:
        record = read_prompts(prompts / f"{prediction.stem}.json")
    except PromptError:
        return row
    doubtful = record.status == "ok" and bool(record.provenance.get("doubtful"))
    return replace(row, confidence=record.confidence, found="doubtful" if doubtful else record.status)


def _size_message(path: Path, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What to say of a prediction of another size than its truth."""
    sizes = f"the prediction is {found[1]}x{found[0]} but its true mask is {wanted[1]}x{wanted[0]} (width x height)"
    return f"{path}: {sizes}; predict at the truth's size, or resize with nearest-neighbour interpolation"


def _statistics(values: Sequence[float]) -> dict[str, float | None]:
    """Mean with its 95 % interval, median, standard deviation, smallest and largest; None where too few values."""
    functions: dict[str, Callable[[Sequence[float]], Any]] = {
        "mean": np.mean,
        "median": np.median,
        "std": np.std,
        "min": np.min,
        "max": np.max,
    }
    found = {name: float(function(values)) if len(values) else None for name, function in functions.items()}
    interval = paired_bootstrap(np.asarray(values), seed=0, samples=SAMPLES) if len(values) > 1 else None
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {**found, "mean_low": low, "mean_high": high, "n": len(values)}


def _conventions(instances: bool) -> dict[str, str]:
    """What a reader of the scores must know."""
    return {
        **CONVENTIONS,
        **(INSTANCE_CONVENTIONS if instances else {}),
        "missing_or_failed": "every score is 0, hd95 and assd are the image diagonal, and the image is part of all "
        "statistics; where the true mask cannot be read, hd95 and assd have no value (see n)",
        "resolution": "masks are compared at the size of the true mask; nothing is resized or filtered",
        "labels": "a mask of several labels is read as foreground (every label) and background",
        "std": "population standard deviation (divisor n)",
        "mean_low, mean_high": f"95 % percentile bootstrap interval of the mean over images ({SAMPLES} samples)",
    }


def _table(summary: Summary) -> str:
    """The text of `metrics.csv`; cells are left blank where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = METRICS if summary.has_truth else ()
    objects = INSTANCE_METRICS if summary.instances_from is not None else ()
    counts = COUNTS if summary.has_truth else ()
    writer.writerow(["image", "status", *metrics, *counts, *objects, "area", "confidence", "found", "message"])
    for row in summary.all_rows:
        own = {} if row.instances is None else row.instances.values()
        cells = [_cell(row.value(name)) for name in metrics]
        cells += ["" if row.counts is None else getattr(row.counts, name) for name in counts]
        cells += [_cell(own.get(name)) for name in objects]
        area = "" if row.area is None else row.area
        writer.writerow([row.image, row.status, *cells, area, _cell(row.confidence), row.found, row.message])
    return text.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _map(function: Callable[[Value], Result], work: Sequence[Value], progress: bool) -> Iterator[Result]:
    """The results in order, made by a few threads, with a progress bar around them."""
    with ThreadPoolExecutor(WORKERS) as workers:
        results: Iterable[Result] = workers.map(function, work)
        if progress:
            from tqdm import tqdm

            results = tqdm(results, total=len(work), desc="evaluate", unit="image", disable=None, leave=False)
        yield from results
