"""`gpoa benchmark --instances`: objects against true objects, class by class, ours and its peers on the same models.

A class is a folder with `images/` and `labels/` (one number an object). Its first image with labels is the reference,
the next ones by name are the targets. Rows are kept in `instances.csv`, one for each image and method, and are not
measured again. `seconds` are those of the processor, so that a busy machine does not change them; what the models saw
of a window is kept for the next method, so they are those of the first method that asks, and the others' are their
own work alone.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.baselines.many_objects import METHODS
from gpoa.config import GpoaConfig, digest
from gpoa.datasets.folder import find_samples, match_stems
from gpoa.datasets.image_io import load_image
from gpoa.datasets.label_io import load_labels
from gpoa.errors import ConfigError, DataError, one_line
from gpoa.evaluation.counting import LARGE, areas_of, count_error, score_size_class, size_distance
from gpoa.evaluation.instances import coco_ap, compact, instance_ious, score_ious
from gpoa.evaluation.metrics import paired_bootstrap
from gpoa.features.cache import EmbeddingCache, image_digest
from gpoa.instances.finding import View
from gpoa.instances.objects import Objects
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.instances import InstanceSegmenter
from gpoa.runtime.atomic import encode_json, write_atomic

logger = logging.getLogger(__name__)

SCORES = ("pq", "ap_50", "ap", "da_50", "da_50_large", "da_50_small", "count_error", "size_distance", "iou")
COSTS = ("calls", "seconds", "tiles", "true", "predicted")
COLUMNS = ("class", "reference", "image", "method", "settings", "status", *SCORES, *COSTS, "message")
SHOWN = ("pq", "ap_50", "ap", "da_50", "da_50_large", "count_error", "size_distance", "iou", "calls", "seconds")
OURS = "gpoa"
Row = dict[str, Any]


@dataclass(frozen=True)
class ObjectClass:
    """A class with labelled objects.

    Args:
        name: its folder below the data folder.
        pairs: (image file, label file), by name; at least two.
    """

    name: str
    pairs: tuple[tuple[Path, Path], ...]


def load_object_classes(data: Path, names: Sequence[str] = ()) -> list[ObjectClass]:
    """Finds classes with `images/` and `labels/` below a folder.

    Args:
        data: the folder.
        names: which of them; none is all.

    Raises:
        DataError: there is none, or one has fewer than two labelled images.
    """
    found = sorted({path.parent.relative_to(data).as_posix() for path in data.rglob("labels") if path.is_dir()})
    wanted = list(names) or found
    if not wanted or set(wanted) - set(found):
        lacking = ", ".join(sorted(set(wanted) - set(found))) or "a class"
        raise DataError(f"{data}: {lacking} not found; a class of objects is a folder with images/ and labels/")
    classes = []
    for name in wanted:
        images, labels = (find_samples(data / name / part) for part in ("images", "labels"))
        matched = match_stems([one.stem for one in images], [one.stem for one in labels])
        pairs = tuple((one.image_path, labels[matched[i]].image_path) for i, one in enumerate(images) if i in matched)
        if len(pairs) < 2:
            raise DataError(f"{data / name}: {len(pairs)} images with labels of the same name; at least 2 are needed")
        classes.append(ObjectClass(name, pairs))
    return classes


def run_instance_benchmark(
    classes: Sequence[ObjectClass],
    methods: Sequence[str],
    targets: int,
    output: Path,
    config: GpoaConfig,
    cache: EmbeddingCache | None,
) -> Iterator[Row]:
    """Measures what `output/instances.csv` lacks, and yields every row.

    Args:
        classes: from `load_object_classes`.
        methods: names of `gpoa.baselines.many_objects.METHODS`.
        targets: images a class, at most.
        output: the benchmark's folder.
        config: models and settings; the peers share them.
        cache: embedding cache.

    Raises:
        ConfigError: a method is unknown.
        DataError: the folder cannot be written.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ConfigError(f"--methods {' '.join(unknown)}: unknown with --instances; known are {', '.join(METHODS)}")
    path, settings = output / "instances.csv", digest(config)
    known = {_key(row): row for row in read_instance_rows(path) if row["settings"] == settings}
    for one in classes:
        wanted = [
            (image, labels, method) for image, labels in one.pairs[1 : 1 + targets] for method in methods
            if (one.name, one.pairs[0][0].stem, image.stem, method) not in known
        ]  # fmt: skip
        predict = _fitted(one, methods, config, cache) if wanted else {}
        for image, labels in one.pairs[1 : 1 + targets]:
            for method in methods:
                key = (one.name, one.pairs[0][0].stem, image.stem, method)
                if key not in known:
                    names = {"class": key[0], "reference": key[1], "image": key[2], "method": key[3]}
                    known[key] = {**names, "settings": settings, **_measured(predict[method], image, labels)}
                    write_atomic(path, _as_csv(list(known.values())).encode("utf-8"))
                yield known[key]


def _fitted(
    one: ObjectClass, methods: Sequence[str], config: GpoaConfig, cache: EmbeddingCache | None
) -> dict[str, Callable[[np.ndarray], Objects]]:
    """The methods after the class's reference."""
    segmenter = InstanceSegmenter(ImagePipeline(config, cache))
    reference, labels = one.pairs[0]
    segmenter.fit(reference, load_labels(labels))
    segmenter.look = _remembered(segmenter.look)
    return {method: METHODS[method](segmenter) for method in methods}


def _remembered(look: Callable[[np.ndarray], View]) -> Callable[[np.ndarray], View]:
    """What the models saw of the last few windows, which several methods ask for in turn."""
    seen: dict[str, View] = {}

    def remembered(pixels: np.ndarray) -> View:
        key = image_digest(pixels)
        if key not in seen:
            if len(seen) >= 64:
                seen.pop(next(iter(seen)))
            seen[key] = look(pixels)
        return seen[key]

    return remembered


def _measured(predict: Callable[[np.ndarray], Objects], image_path: Path, label_path: Path) -> Row:
    """The scores of one image; an image on which a method breaks scores 0 and says why."""
    truth = load_labels(label_path)
    began = time.process_time()
    try:
        image = load_image(image_path)
        objects = predict(image)
        status, message = "ok", ""
    except Exception as error:  # one image, or one method's mistake on it, never ends a benchmark
        logger.warning("%s: %s", image_path, one_line(error))
        objects = Objects(np.zeros(truth.shape, np.uint16), np.zeros(0, np.float32), np.zeros(0, bool))
        status, message = "failed", one_line(error)
    costs = {"calls": objects.decoder_calls, "seconds": time.process_time() - began, "tiles": objects.tiles}
    row = {"status": status, **score_objects(objects, truth), **costs, "message": message}
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}


def score_objects(objects: Objects, truth: np.ndarray) -> Row:
    """All scores of one image.

    Args:
        objects: predicted.
        truth: [H, W] integer label image.

    Returns:
        `SCORES`, and the numbers of objects. AP is NaN without a true object.
    """
    ious = instance_ious(objects.labels, truth)
    scores = score_ious(ious)
    predicted, true = areas_of(objects.labels), areas_of(truth)
    large, small = (
        score_size_class(ious, predicted, true, *limits).detection_accuracy(0.5)
        for limits in ((LARGE, np.inf), (0, LARGE))
    )
    ap = coco_ap([objects.labels], [compact(truth)[0]], [objects.scores.tolist()])
    mask, real = objects.mask, truth > 0
    union = int((mask | real).sum())
    return {
        "pq": scores.pq, "ap_50": ap["coco_ap_50"], "ap": ap["coco_ap"], "da_50": scores.detection_accuracy(0.5),
        "da_50_large": large, "da_50_small": small,
        "count_error": count_error(len(predicted), len(true)), "size_distance": size_distance(predicted, true),
        "iou": float((mask & real).sum() / union) if union else 1.0,
        "true": len(true), "predicted": len(predicted),
    }  # fmt: skip


def read_instance_rows(path: Path) -> list[Row]:
    """The rows of an earlier run, numbers as numbers; none where there is no file or it is another version's."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except OSError:
        return []
    if rows and set(COLUMNS) - set(rows[0]):
        return []
    return [{n: float(v) if n in (*SCORES, *COSTS) and v else v for n, v in row.items()} for row in rows]


def present_instances(rows: Sequence[Row], output: Path, command: str) -> str:
    """Writes `instances.md` and `instances.json`; returns the tables as text.

    Args:
        rows: of one benchmark.
        output: its folder.
        command: what was typed.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    classes = list(dict.fromkeys(row["class"] for row in rows))
    means = {one: {method: _means(_of(rows, one, method)) for method in methods} for one in classes}
    over = {method: {name: float(np.nanmean([means[c][method][name] for c in classes])) for name in SHOWN}
            for method in methods}  # fmt: skip
    lines = [_table("all classes", over), *(_table(_title(rows, one), means[one]) for one in classes)]
    duels = {method: _duel(rows, method) for method in methods if method != OURS and OURS in methods}
    lines.append("\n".join(f"gpoa minus {method}: {', '.join(_interval(*d) for d in each.items())}"
                           for method, each in duels.items()))  # fmt: skip
    text = "\n\n".join(line for line in lines if line)
    write_atomic(output / "instances.md", f"`{command}`\n\n{text}\n".encode())
    plain = {"command": command, "over_classes": over, "classes": means, "differences": duels}
    write_atomic(output / "instances.json", encode_json(plain, indent=1))
    return text


def _of(rows: Sequence[Row], one: str, method: str) -> list[Row]:
    return [row for row in rows if (row["class"], row["method"]) == (one, method)]


def _means(rows: Sequence[Row]) -> dict[str, float]:
    return {name: float(np.nanmean([float(row[name]) for row in rows])) for name in SHOWN}


def _title(rows: Sequence[Row], one: str) -> str:
    mine = {row["image"]: row["true"] for row in rows if row["class"] == one}
    return f"{one}: {len(mine)} images, {sum(mine.values()):.0f} objects"


def _table(title: str, by_method: dict[str, dict[str, float]]) -> str:
    """One table in Markdown."""
    head = [f"| {title} | {' | '.join(SHOWN)} |", "|---" * (1 + len(SHOWN)) + "|"]
    digits = {"calls": 0, "seconds": 1}
    body = [
        f"| {method} | {' | '.join(f'{values[name]:.{digits.get(name, 3)}f}' for name in SHOWN)} |"
        for method, values in by_method.items()
    ]
    return "\n".join([*head, *body])


def _duel(rows: Sequence[Row], method: str) -> dict[str, tuple[float, float, float]]:
    """Mean difference and its 95 % interval over images, of each score: ours minus the other's."""
    mine, theirs = ({(r["class"], r["image"]): r for r in rows if r["method"] == name} for name in (OURS, method))
    both = [key for key in mine if key in theirs]
    found = {}
    for name in ("pq", "ap_50", "count_error", "iou"):
        differences = np.array([float(mine[key][name]) - float(theirs[key][name]) for key in both])
        differences = differences[np.isfinite(differences)]
        if len(differences):
            interval = paired_bootstrap(differences, seed=0)
            found[name] = (interval.mean, interval.low, interval.high)
    return found


def _interval(name: str, values: tuple[float, float, float]) -> str:
    return f"{name} {values[0]:+.3f} ({values[1]:+.3f} to {values[2]:+.3f})"


def _key(row: Row) -> tuple[str, str, str, str]:
    return row["class"], row["reference"], row["image"], row["method"]


def _as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """Rows for machines."""
    return json.dumps(list(rows))
