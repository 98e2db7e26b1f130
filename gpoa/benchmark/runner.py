"""Runs methods on classes of labelled images and keeps one row for each image, method and seed.

    units (class, reference, method, seed) --worker processes--> rows --appended--> rows.csv

A unit is the least that is measured, written and, after an interruption, not done again. Legend: sizes are (H, W).
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from gpoa import __version__
from gpoa.baselines.base import Answer
from gpoa.benchmark.contenders import Contender, build_contender, check_methods, draws_at_random
from gpoa.config import BenchmarkConfig, GpoaConfig, digest, to_dict
from gpoa.datasets.classes import LabelledClass
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError, GpoaError, ModelError, one_line
from gpoa.evaluation.metrics import METRICS, score_all
from gpoa.evaluation.protocol import reference_episodes
from gpoa.features.cache import EmbeddingCache
from gpoa.models.card import sha256_of
from gpoa.models.store import find_policy
from gpoa.runtime.atomic import write_atomic
from gpoa.types import Sample

logger = logging.getLogger(__name__)

KEYS = ("class", "reference", "method", "seed")
COLUMNS = (
    *("class", "reference", "image", "method", "seed", "status", *METRICS, "confidence", "object_share"),
    *("calls", "seconds", "encode_seconds", "decode_seconds", "message"),
)
Row = dict[str, Any]
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Unit:
    """One method on one reference.

    Args:
        class_name: the class.
        reference: its labelled example.
        folder: all other images of the class.
        targets: how many of them, the first by name, are scored.
        method: name of the method.
        seed: of its random choices.
    """

    class_name: str
    reference: Sample
    folder: tuple[Sample, ...]
    targets: int
    method: str
    seed: int

    @property
    def key(self) -> Key:
        """What its rows have in common."""
        return self.class_name, self.reference.stem, self.method, str(self.seed)


def plan_units(classes: Sequence[LabelledClass], config: BenchmarkConfig) -> list[Unit]:
    """All units of a benchmark, those of one class and reference next to each other.

    Raises:
        ConfigError: a method is unknown.
    """
    check_methods(config.methods)
    units = []
    for one in classes:
        for reference, others in reference_episodes(one.samples, config.references):
            for method in config.methods:
                seeds = config.seeds if draws_at_random(method) else config.seeds[:1]
                count = min(config.targets, len(others))
                units += [Unit(one.name, reference, tuple(others), count, method, seed) for seed in seeds]
    return units


def run_benchmark(
    units: Sequence[Unit], output: Path, config: GpoaConfig, cache: EmbeddingCache | None, workers: int
) -> Iterator[Unit]:
    """Measures what is missing in `output/rows.csv`, and yields each unit when its rows are written.

    Args:
        units: from `plan_units`.
        output: the benchmark's folder.
        config: models and settings of our methods; the peers share the models.
        cache: embedding cache, shared by all processes; None makes every embedding anew.
        workers: processes; 1 works in this one.

    Raises:
        DataError: the folder holds rows that were made with other settings, or cannot be written.
    """
    _check_settings(output, config)
    kept = _kept_rows(output / "rows.csv", units)
    _write_rows(output / "rows.csv", kept)
    done = {unit_key(row) for row in kept}
    missing = [unit for unit in units if unit.key not in done]
    for unit in units:
        if unit.key in done:
            yield unit
    folder = None if cache is None else cache.folder
    with (output / "rows.csv").open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        for unit, rows in _measured(missing, config, folder, workers):
            writer.writerows(rows)
            file.flush()
            yield unit


def read_rows(path: Path) -> list[Row]:
    """The rows of a benchmark, numbers as text.

    Raises:
        DataError: the file is missing or is no table of a benchmark.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)}); run `gpoa benchmark` first") from error
    if rows and set(COLUMNS) - set(rows[0]):
        lacking = ", ".join(sorted(set(COLUMNS) - set(rows[0])))
        raise DataError(f"{path}: no table of this version of gpoa (without {lacking}); take another --output")
    return rows


def measure(unit: Unit, contender: Contender) -> list[Row]:
    """The rows of a unit; an image on which the method breaks scores 0 and says why."""
    began = time.perf_counter()
    contender.meter.read()
    try:
        image = load_image(unit.reference.image_path)
        contender.prepare(image, load_mask(unit.reference.known_mask, image.shape[:2]), unit.folder)
    except Exception as error:
        logger.warning("%s on %s: %s", unit.method, unit.reference.image_path, one_line(error))
        return [_failed(unit, sample, error) for sample in unit.folder[: unit.targets]]
    shared = (time.perf_counter() - began) / unit.targets
    spent = contender.meter.read()
    rows = []
    for sample in unit.folder[: unit.targets]:
        try:
            row = _predicted(unit, sample, contender)
        except Exception as error:  # one image, or one method's mistake on it, never ends a benchmark
            logger.warning("%s on %s: %s", unit.method, sample.image_path, one_line(error))
            rows.append(_failed(unit, sample, error))
            continue
        # What the reference costs is shared by its targets.
        row["calls"] += spent.calls / unit.targets
        row["seconds"] += shared
        row["encode_seconds"] += spent.encode_seconds / unit.targets
        row["decode_seconds"] += spent.decode_seconds / unit.targets
        rows.append({name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()})
    return rows


def _predicted(unit: Unit, sample: Sample, contender: Contender) -> Row:
    """The row of one image."""
    image = load_image(sample.image_path)
    truth = load_mask(sample.known_mask, image.shape[:2], allow_empty=True)
    began = time.perf_counter()
    answer: Answer = contender.predict(image)
    seconds, costs = time.perf_counter() - began, contender.meter.read()
    return {
        **_names(unit, sample),
        "status": "ok" if answer.mask.any() else "empty",
        **score_all(answer.mask, truth),
        "confidence": "" if answer.confidence is None else float(answer.confidence),
        "object_share": float(truth.mean()),
        "calls": float(costs.calls),
        "seconds": seconds,
        "encode_seconds": costs.encode_seconds,
        "decode_seconds": costs.decode_seconds,
        "message": "",
    }


def _failed(unit: Unit, sample: Sample, error: Exception) -> Row:
    """The row of an image that could not be done: what an empty mask scores, IoU 0, at the price of nothing."""
    try:
        truth = load_mask(sample.known_mask, allow_empty=True)
        scores = {**score_all(np.zeros_like(truth), truth), "iou": 0.0, "object_share": float(truth.mean())}
    except (GpoaError, OSError):
        scores = dict.fromkeys((*METRICS, "object_share"), 0.0)  # alike for every method
    costs = dict.fromkeys(("calls", "seconds", "encode_seconds", "decode_seconds"), 0.0)
    names = _names(unit, sample)
    return {**names, **scores, **costs, "status": "failed", "confidence": "", "message": one_line(error)}


def _names(unit: Unit, sample: Sample) -> Row:
    """The columns that say what a row is about."""
    names = dict(zip(KEYS, unit.key, strict=True))
    return {**names, "image": sample.stem}


def _measured(
    units: Sequence[Unit], config: GpoaConfig, cache: Path | None, workers: int
) -> Iterator[tuple[Unit, list[Row]]]:
    """Units with their rows, as they are done."""
    if workers <= 1 or len(units) <= 1:
        for unit in units:
            yield unit, _work(unit, config, cache)
        return
    with _worker_environment(), ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_work, unit, config, cache): unit for unit in units}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _worker_environment() -> Iterator[None]:
    """While processes start: one thread each for the number libraries, and no notices to the authors of
    torch_geometric."""
    changed = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    changed["PYTHONWARNINGS"] = "ignore::FutureWarning:torch.jit._script"
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(unit: Unit, config: GpoaConfig, cache: Path | None) -> list[Row]:
    """One unit in whatever process this is."""
    return measure(unit, _contender(unit.method, config, cache, unit.seed))


@functools.lru_cache(maxsize=32)
def _contender(method: str, config: GpoaConfig, cache: Path | None, seed: int) -> Contender:
    """A method, built once a process."""
    return build_contender(method, config, EmbeddingCache(cache), seed)


def _check_settings(output: Path, config: GpoaConfig) -> None:
    """Refuses to mix rows of different settings in one folder."""
    path = output / "settings.json"
    try:
        policy = sha256_of(find_policy(config.optimize.policy))
    except ModelError:
        policy = None  # the methods that need one say so
    shape = digest(config, METRICS, policy)
    settings = {"version": __version__, "digest": shape, "policy": policy, "config": to_dict(config)}
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known.get("digest") != settings["digest"]:
            raise DataError(f"{output}: its rows were made with other settings; take another --output")
    write_atomic(path, (json.dumps(settings, indent=2) + "\n").encode("utf-8"))


def _kept_rows(path: Path, units: Iterable[Unit]) -> list[Row]:
    """The rows of an earlier run whose units are whole and did not fail; other units of the table stay, too."""
    if not path.is_file():
        return []
    by_unit: dict[Key, list[Row]] = defaultdict(list)
    for row in read_rows(path):
        by_unit[unit_key(row)].append(row)
    wanted = {unit.key: unit.targets for unit in units}
    kept = []
    for key, rows in by_unit.items():
        whole = all(value is not None for row in rows for value in row.values())
        if whole and len(rows) == wanted.get(key, len(rows)) and all(row["status"] != "failed" for row in rows):
            kept += rows
    return kept


def unit_key(row: Row) -> Key:
    """The key of the unit that a row belongs to."""
    return row["class"], row["reference"], row["method"], str(row["seed"])


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    """The table with its heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode("utf-8"))
