"""Compare predicted masks with ground truth: IoU, Dice, precision and recall for each image and on average.

Files are matched by name. A prediction that is missing, unreadable or of another size than its truth counts as 0 and is
named. The exit status is 1 where there was one, else 0.

Examples:
    gpoa evaluate --predictions out/masks --ground-truth data/masks --output out/evaluation
    gpoa evaluate --predictions out --ground-truth data/masks --output out/evaluation --json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpoa.evaluation.evaluator import Summary

LISTED = 20
"""At most this many problems are printed; the table has them all."""


@dataclass(frozen=True)
class Args:
    """The flags of `gpoa evaluate`."""

    predictions: Path
    """Folder of predicted masks, or a folder that holds them in masks/ (what `gpoa run` wrote)."""
    ground_truth: Path
    """Folder of true masks, named like the predictions (a suffix like _mask or _gt is fine)."""
    output: Path
    """Folder that receives metrics.csv and summary.json."""
    json: bool = False
    """Print one line of JSON instead of the table."""


def main(argv: list[str]) -> int:
    """Runs `gpoa evaluate`.

    Args:
        argv: the arguments after `gpoa evaluate`.

    Returns:
        0, or 1 where a prediction was missing or could not be compared.

    Raises:
        GpoaError: a folder cannot be used.
    """
    import tyro

    arguments = tyro.cli(
        Args, prog="gpoa evaluate", description=__doc__, args=argv, config=(tyro.conf.FlagCreatePairsOff,)
    )
    from gpoa.evaluation.evaluator import evaluate_folders

    summary = evaluate_folders(
        arguments.predictions, arguments.ground_truth, arguments.output, progress=not arguments.json
    )
    _print_json(summary) if arguments.json else _print_table(summary)
    return 1 if summary.n_missing or summary.n_failed else 0


def _print_json(summary: Summary) -> None:
    """One line with everything."""
    import json

    files = {"table": str(summary.table_path), "summary": str(summary.summary_path)}
    print(json.dumps({**summary.to_dict(), "files": files}, ensure_ascii=False))


def _print_table(summary: Summary) -> None:
    """The statistics, the problems, and where the files are."""
    from gpoa.evaluation.evaluator import METRICS

    content = summary.to_dict()
    columns = ("mean", "median", "std", "min", "max")
    print(f"{'':10}" + "".join(f"{name:>9}" for name in columns))
    for metric in METRICS:
        print(f"{metric:10}" + "".join(f"{content[metric][name]:9.4f}" for name in columns))
    print(f"{len(summary.rows)} images, {summary.n_missing} missing, {summary.n_failed} failed")
    problems = [f"{row.status}: {row.image}: {row.message}" for row in summary.rows if row.status != "ok"]
    problems += [f"prediction without truth: {name}" for name in summary.unmatched_predictions]
    for line in problems[:LISTED]:
        print(line)
    if len(problems) > LISTED:
        print(f"and {len(problems) - LISTED} more, see the files")
    print(f"table {summary.table_path}")
    print(f"summary {summary.summary_path}")
