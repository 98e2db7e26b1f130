"""Compare predicted masks with ground truth: overlap, outline and distance scores for each image and on average.

Files are matched by name. A prediction that is missing, unreadable or of another size than its truth counts as the
worst and is named, as is a prediction without a truth. The exit status is 1 where there was one of these, else 0.
Without --ground-truth, areas and the confidences that `gpoa run` wrote are listed.

Examples:
    gpoa evaluate --predictions out/masks --ground-truth data/masks --output out/evaluation
    gpoa evaluate --predictions out --ground-truth data/masks --output out/evaluation --json
    gpoa evaluate --predictions out --ground-truth data/label_images --output out/evaluation --instances
    gpoa evaluate --predictions out --ground-truth instances.json --output out/evaluation --instances
    gpoa evaluate --predictions out --output out/evaluation
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpoa.cli.common import parse

if TYPE_CHECKING:
    from gpoa.evaluation.evaluator import Summary

LISTED = 20
"""At most this many problems are printed; the table has them all."""
COLUMNS = {"mean": "mean", "low": "mean_low", "high": "mean_high", "median": "median", "std": "std"}
COLUMNS |= {"min": "min", "max": "max"}
"""Printed column -> name in summary.json."""


@dataclass(frozen=True)
class Args:
    """The flags of `gpoa evaluate`."""

    predictions: Path
    """Folder of predicted masks, or the output folder of `gpoa run`."""
    output: Path
    """Output folder for metrics.csv, summary.json and report.html."""
    ground_truth: Path | None = None
    """Folder of ground-truth masks with the names of the predictions (_mask or _gt may follow); or annotations: a COCO
    or Label Studio JSON file, a CVAT XML file, a folder of YOLO text files."""
    instances: bool = False
    """Score objects as well (panoptic quality, detection accuracy), taken from label images or the COCO file, else from
    connected components."""
    images: Path | None = None
    """Folder of the images, on which the report shows the worst, median and best masks."""
    cases: int = 3
    """Examples of each in the report."""
    json: bool = False
    """Print one line of JSON instead of the table."""


def main(argv: list[str]) -> int:
    """Runs `gpoa evaluate`.

    Args:
        argv: the arguments after `gpoa evaluate`.

    Returns:
        0, or 1 where a prediction was missing, had no truth or could not be compared.

    Raises:
        GpoaError: a folder cannot be used, or --instances without --ground-truth.
    """
    arguments = parse(Args, "evaluate", __doc__ or "", argv)
    from gpoa.errors import ConfigError
    from gpoa.evaluation.evaluator import evaluate_folders
    from gpoa.report.folder_report import report_folder

    if arguments.instances and arguments.ground_truth is None:
        raise ConfigError("--instances: objects are scored against true ones; give --ground-truth")
    summary = evaluate_folders(
        arguments.predictions,
        arguments.ground_truth,
        arguments.output,
        progress=not arguments.json,
        instances=arguments.instances,
    )
    report = report_folder(
        summary,
        arguments.predictions,
        arguments.ground_truth,
        arguments.images,
        arguments.output / "report.html",
        arguments.cases,
        "gpoa evaluate " + " ".join(argv),
    )
    classes = {} if arguments.ground_truth is None else _score_classes(arguments, arguments.ground_truth)
    if arguments.json:
        _print_json(summary, report, classes)
    else:
        _print_table(summary, report)
        _print_classes(classes, arguments.output)
    return summary.exit_code


def _score_classes(arguments: Args, ground_truth: Path) -> dict[str, dict[str, Any]]:
    """The scores of each class, where the predictions are of a run of several classes and the truth is a folder."""
    from gpoa.evaluation.classes import classes_of, evaluate_classes

    classes = classes_of(arguments.predictions)
    if not classes or not ground_truth.is_dir():
        return {}
    return evaluate_classes(arguments.predictions, ground_truth, arguments.output, classes)


def _print_classes(classes: Mapping[str, Mapping[str, Any]], output: Path) -> None:
    """A line a class."""
    if not classes:
        return
    print(f"{'class':24}{'IoU':>11}{'pooled IoU':>12}{'images':>8}")
    for name, one in classes.items():
        cells = ["-" if one[key] is None else f"{one[key]:.4f}" for key in ("iou", "pooled_iou")]
        print(f"{name:24}{cells[0]:>11}{cells[1]:>12}{one['n']:>8}")
    print(f"classes {output / 'classes.csv'}")


def _print_json(summary: Summary, report: Path, classes: Mapping[str, Mapping[str, Any]]) -> None:
    """One line with everything."""
    import json

    files = {"table": str(summary.table_path), "summary": str(summary.summary_path), "report": str(report)}
    more = {"classes": classes} if classes else {}
    print(json.dumps({**summary.to_dict(), **more, "files": files}, ensure_ascii=False))


def _print_table(summary: Summary, report: Path) -> None:
    """The statistics, the problems, and where the files are."""
    content = summary.to_dict()
    for line in _statistics(summary, content):
        print(line)
    if summary.has_truth:
        counts = f"{summary.n_missing} missing, {summary.n_failed} failed"
        surplus = len(summary.unmatched_predictions)
        print(f"{len(summary.rows)} images, {counts}" + (f", {surplus} predictions without truth" if surplus else ""))
    else:
        print(f"{len(summary.unscored)} predictions, {summary.n_failed} failed; no ground truth, so no scores")
    if summary.n_several_labels and summary.instances_from is None:
        masks = f"{summary.n_several_labels} of {len(summary.rows)} true masks hold more than one label"
        print(f"{masks} and are read as foreground/background; --instances scores them as instances")
    for line in summary.remarks:
        print(line)
    problems = [f"{row.status}: {row.image}: {row.message}" for row in summary.all_rows if row.message]
    problems += [f"prediction without truth: {name}" for name in summary.unmatched_predictions]
    for line in problems[:LISTED]:
        print(line)
    if len(problems) > LISTED:
        print(f"and {len(problems) - LISTED} more, see the files")
    print(f"table {summary.table_path}")
    print(f"summary {summary.summary_path}")
    print(f"report {report}")


def _statistics(summary: Summary, content: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the table of means."""
    from gpoa.evaluation.metrics import HIGHER_IS_BETTER, METRICS

    rows = {}
    if summary.has_truth:
        rows = {name if HIGHER_IS_BETTER[name] else f"{name} px": content[name] for name in METRICS}
    if summary.instances_from is not None:
        rows |= content["instances"]["per_image"]
    if content["confidence"] is not None:
        rows["confidence"] = content["confidence"]
    if not rows:
        return
    yield f"{'':24}" + "".join(f"{name:>11}" for name in COLUMNS)
    for name, values in rows.items():
        cells = [values[key] for key in COLUMNS.values()]
        yield f"{name:24}" + "".join(f"{'-':>11}" if cell is None else f"{cell:11.4f}" for cell in cells)
    yield "low, high: 95 % bootstrap interval of the mean; px: pixels, lower is better"
    if summary.instances_from is not None:
        objects = content["instances"]
        values = ", ".join(f"{name} {value:.4f}" for name, value in objects["pooled"].items())
        source = f"predicted from {objects['predicted_from']}, true from {objects['true_from']}"
        yield f"all objects together ({objects['n_predicted']} predicted, {objects['n_true']} true; {source}): {values}"
