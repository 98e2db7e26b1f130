"""Compare segmentation methods on labelled classes, all with the same frozen models.

Each class folder holds images/ and masks/. A method gets one reference image (the first, then the middle, then the last
by name) and is scored on the others. The output folder receives rows.csv (one row per image, method and seed),
summary.json, report.html and table.md. Running the command again resumes, and can add methods, references or seeds.

examples:
  gpoa benchmark --data data --output runs/benchmark --methods gpoa gpoa-start otsu
  gpoa benchmark --data BENCH --split BENCH/split.json --list quick --fast --output runs/fast
  gpoa benchmark --config runs/fast/benchmark.json --output runs/again
  gpoa benchmark --instances --data runs/instances/test --output runs/objects --targets 3
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpoa.cli.common import CacheArgs, open_cache, parse
from gpoa.config import BenchmarkConfig, GpoaConfig

if TYPE_CHECKING:
    from gpoa.datasets.classes import LabelledClass
    from gpoa.report.report import Group

FAST_TARGETS = 8


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa benchmark`."""

    data: Path
    """Folder of classes (CLASS/images and CLASS/masks, at any depth) or of projects (reference_image/, target_image/,
    ...)."""
    output: Path = Path("runs/benchmark")
    """Output folder."""
    split: Path | None = None
    """JSON file with lists of class names."""
    list: str = "held_out"
    """List of the split file to evaluate."""
    apart: str = "thin"
    """List of the split file whose classes are also reported separately."""
    classes: tuple[str, ...] = ()
    """Class names to evaluate, instead of a list; default: all."""
    benchmark: Annotated[BenchmarkConfig, tyro.conf.arg(name="")] = field(default_factory=BenchmarkConfig)
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    instances: bool = False
    """Compare objects: classes hold images/ and labels/, the first image is the reference; writes instances.csv, .md
    and .json."""
    fast: bool = False
    """One reference per class and at most 8 targets."""
    cases: int = 3
    """Examples of the worst, median and best images in the report; 0 for none."""
    report_only: bool = False
    """Only rebuild the summary and report from existing rows."""
    json: bool = False
    """Print the summary as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns 0, or 1 where a method failed on an image."""
    args = parse(Args, "benchmark", __doc__, argv)
    if args.instances:
        return _compare_objects(args, "gpoa benchmark " + " ".join(argv))
    from gpoa.benchmark.contenders import DEFAULT_METHODS
    from gpoa.benchmark.presenting import present
    from gpoa.benchmark.runner import plan_units, read_rows, run_benchmark, unit_key
    from gpoa.datasets.classes import load_classes
    from gpoa.pipeline.outputs import prepare_folder

    settings = args.benchmark
    if args.fast:
        settings = replace(settings, references=1, targets=min(settings.targets, FAST_TARGETS))
    settings = replace(settings, methods=settings.methods or DEFAULT_METHODS)
    classes = load_classes(args.data, _class_names(args))
    units = plan_units(classes, settings)
    prepare_folder(args.output)
    cache = open_cache(args.cache)
    if not args.report_only:
        workers = settings.workers or os.cpu_count() or 1
        _follow(run_benchmark(units, args.output, args.config, cache, workers), len(units), args.json)
    wanted = {unit.key for unit in units}
    rows = [row for row in read_rows(args.output / "rows.csv") if unit_key(row) in wanted]
    command = "gpoa benchmark " + " ".join(argv)
    summary = present(rows, units, _groups(args, classes), args.output, args.config, cache, args.cases, command)
    print(json.dumps(summary.plain) if args.json else summary.text)
    return int(any(row["status"] == "failed" for row in rows))


def _compare_objects(args: Args, command: str) -> int:
    """The benchmark of objects."""
    from tqdm import tqdm

    from gpoa.baselines.many_objects import METHODS
    from gpoa.benchmark.instances import as_json, load_object_classes, present_instances, run_instance_benchmark
    from gpoa.pipeline.outputs import prepare_folder

    settings = args.benchmark
    methods = settings.methods or tuple(METHODS)
    targets = min(settings.targets, FAST_TARGETS) if args.fast else settings.targets
    classes = load_object_classes(args.data, args.classes)
    prepare_folder(args.output)
    made = run_instance_benchmark(classes, methods, targets, args.output, args.config, open_cache(args.cache))
    total = len(methods) * sum(min(targets, len(one.pairs) - 1) for one in classes)
    rows = list(tqdm(made, total=total, unit="row", disable=args.json or not sys.stderr.isatty()))
    text = present_instances(rows, args.output, command)
    print(as_json(rows) if args.json else text)
    return int(any(row["status"] == "failed" for row in rows))


def _class_names(args: Args) -> Sequence[str] | None:
    """The classes that the flags name; None is all."""
    if args.classes or args.split is None:
        return args.classes or None
    return _list(args.split, args.list)


def _list(split: Path, name: str) -> Sequence[str]:
    """One list of a split file."""
    from gpoa.datasets.classes import read_list

    return read_list(split, name)


def _groups(args: Args, classes: Sequence[LabelledClass]) -> Sequence[Group]:
    """All classes, and, where some are to be shown apart, those and the others."""
    from gpoa.errors import DataError
    from gpoa.report.report import Group

    names = tuple(one.name for one in classes)
    groups = [Group(f"all {len(names)} classes", names)]
    try:
        apart = set(_list(args.split, args.apart)) if args.split is not None else set()
    except DataError:
        apart = set()
    inside, outside = (tuple(n for n in names if (n in apart) == is_in) for is_in in (True, False))
    if inside and outside:
        groups += [Group(f"{len(outside)} classes that are not {args.apart}", outside)]
        groups += [Group(f"{len(inside)} {args.apart} classes", inside)]
    return groups


def _follow(units, total: int, quiet: bool) -> None:
    """Shows how the benchmark goes on."""
    from tqdm import tqdm

    with tqdm(total=total, unit="unit", disable=quiet or not sys.stderr.isatty()) as bar:
        for unit in units:
            bar.set_postfix_str(f"{unit.class_name} {unit.method}", refresh=False)
            bar.update()
