"""Objects one by one over a folder (`gpoa run --instances`): resumable, one bad image never ends it.

What `run_instances` writes below its output folder:

    labels/<stem>.png           0 background, 1 to n the objects, 16 bits; none where there are more than 65,535
    labels_tiff/<stem>.tif      the same as TIFF, of 32 bits where there are more
    masks/<stem>.png            0/255, all objects together, as a run without --instances writes it
    overlays/<stem>.jpg         one colour an object
    objects/<stem>.csv .json    one row an object; what the image was made from
    objects.csv  counts.csv     the rows of all images; one row an image
    contact_sheet.jpg  run.json

`gpoa evaluate --instances --predictions <output>/labels` scores the objects.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.config import digest as config_digest
from gpoa.config import to_dict
from gpoa.datasets.coco import write_coco_objects
from gpoa.datasets.label_io import load_labels, save_labels
from gpoa.datasets.mask_io import save_mask
from gpoa.datasets.options import CocoFile
from gpoa.datasets.pages import load_sample
from gpoa.errors import GpoaError
from gpoa.instances.measuring import Table, measure, read_csv, to_csv
from gpoa.instances.objects import Objects
from gpoa.instances.pixel_size import PixelSize, read_pixel_size
from gpoa.pipeline.closing import close_run
from gpoa.pipeline.instances import InstanceSegmenter
from gpoa.pipeline.outputs import coco_names, file_digest, mask_path, open_targets, save_picture
from gpoa.pipeline.progress import Item, Report, process
from gpoa.runtime.atomic import encode_json, write_atomic
from gpoa.types import Sample
from gpoa.viewer.overlays import draw_objects

logger = logging.getLogger(__name__)

PNG_LIMIT = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class InstanceRun:
    """What a run of objects was asked for.

    Args:
        output: its folder.
        coco: also write all objects as one COCO json file.
        pixel: the size of a pixel; None reads it from each file that says it.
        command: recorded in `run.json`.
    """

    output: Path
    coco: CocoFile | None = None
    pixel: PixelSize | None = None
    command: str = ""


def run_instances(segmenter: InstanceSegmenter, targets: Any, run: InstanceRun) -> Report:
    """Finds, measures and writes the objects of every target; what an earlier run of the same settings did is kept.

    Args:
        segmenter: fitted.
        targets: a file, a folder, several of both, or what `find_targets` made of them.
        run: what is asked for.

    Returns:
        What became of each image; its confidence is the mean over the objects, its choice says how many there are.

    Raises:
        DataError: no targets, or the folder cannot be written.
    """
    pipeline, output = segmenter.pipeline, run.output
    found = open_targets(targets, pipeline.config.reading, output)
    samples = found.samples
    digest = segmenter.run_digest()

    def work(sample: Sample) -> Item:
        pixel = run.pixel or read_pixel_size(sample.image_path)
        made_from = {"run": digest, "image": file_digest(sample.image_path), "pixel": str(pixel)}
        kept = _kept(output, sample.stem, made_from)
        if kept is not None:
            return _item(sample.stem, "kept", kept)
        image = load_sample(sample, pipeline.config.reading)
        windows = output / "objects" / f"{sample.stem}.{config_digest(made_from)}.windows"
        objects = segmenter.segment(image, _teller(sample.stem), windows)
        facts = _facts(objects, pixel)
        _store(output, sample.stem, image, objects, pixel)
        # Written last: this file says that everything else of the image is there.
        write_atomic(output / "objects" / f"{sample.stem}.json", encode_json({**facts, "made_from": made_from}))
        return _item(sample.stem, "ok" if objects.count else "absent", facts)

    report = process(samples, work, "gpoa run --instances", len(samples), notes=found.notes)
    facts = {
        "command": run.command,
        "config": to_dict(pipeline.config),
        "models": pipeline.backbones.ids,
        "device": pipeline.backbones.device,
        "sizes": to_dict(segmenter.sizes),
        "run_digest": digest,
    }
    close_run(output, samples, report, None, segmenter.shots, facts)
    _close(run, samples, report)
    pipeline.backbones.cache.trim()
    return report


def _store(output: Path, stem: str, image: np.ndarray, objects: Objects, pixel: PixelSize | None) -> None:
    """The files of one image."""
    save_labels(output / "labels_tiff" / f"{stem}.tif", objects.labels)
    if objects.count <= PNG_LIMIT:
        save_labels(output / "labels" / f"{stem}.png", objects.labels)
    save_mask(mask_path(output, Sample(stem, Path(stem))), objects.mask)
    save_picture(draw_objects(image, objects.labels), output / "overlays" / f"{stem}.jpg")
    content = to_csv([(stem, measure(objects, image, pixel))])
    write_atomic(output / "objects" / f"{stem}.csv", content.encode("utf-8", "backslashreplace"))


def _facts(objects: Objects, pixel: PixelSize | None) -> dict[str, Any]:
    """What is known of an image besides its objects."""
    return {
        "objects": objects.count,
        "by_segmenter": int(objects.by_segmenter.sum()),
        "confidence": round(float(objects.scores.mean()), 4) if objects.count else 0.0,
        "decoder_calls": objects.decoder_calls,
        "tiles": objects.tiles,
        "covered": round(float(objects.mask.mean()), 5),
        "pixel": None if pixel is None else to_dict(pixel),
    }


def _item(stem: str, status: str, facts: dict[str, Any]) -> Item:
    """What became of an image."""
    return Item(stem, status, facts["confidence"], f"{facts['objects']} objects")


def read_facts(output: Path, stem: str) -> dict[str, Any] | None:
    """What a run wrote of one image; None where it wrote nothing, or it is damaged."""
    try:
        facts = json.loads((output / "objects" / f"{stem}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and {"objects", "confidence", "made_from"} <= set(facts) else None


def _kept(output: Path, stem: str, made_from: dict[str, str]) -> dict[str, Any] | None:
    """What an earlier run of the same settings wrote of an image, where all of its files are there."""
    facts = read_facts(output, stem)
    names = (f"labels_tiff/{stem}.tif", f"masks/{stem}.png", f"overlays/{stem}.jpg", f"objects/{stem}.csv")
    if facts is None or facts["made_from"] != made_from or not all((output / name).is_file() for name in names):
        return None
    return facts


def _teller(stem: str) -> Callable[[int, int], None]:
    """A progress bar over the windows of a large image."""
    from tqdm import tqdm

    bars: list[tqdm] = []

    def tell(done: int, total: int) -> None:
        if done == 1 and total > 1:
            bars.append(tqdm(total=total, desc=stem, unit="window", leave=False, position=1, disable=None))
        for bar in bars:
            bar.update()
            if done == total:
                bar.close()

    return tell


def _close(run: InstanceRun, samples: Sequence[Sample], report: Report) -> None:
    """Writes what needs all images; what cannot be written is noted in the report."""
    done = {item.stem for item in report.items if item.status != "failed"}
    finished = [sample for sample in samples if sample.stem in done]
    parts: dict[str, Callable[[], None]] = {
        "objects.csv": lambda: _write_objects(run.output, finished),
        "counts.csv": lambda: _write_counts(run.output, finished),
    }
    if run.coco is not None:
        parts[run.coco.path.name] = lambda: _write_coco(run, samples, finished)
    for name, write in parts.items():
        try:
            write()
        except (GpoaError, OSError) as error:
            report.unwritten[name] = str(error)


def tables_of(output: Path, stems: Sequence[str]) -> list[tuple[str, Table]]:
    """The measurements that a run wrote, (stem, columns as text) of each image.

    Raises:
        DataError: a file is missing.
    """
    return [(stem, read_csv(output / "objects" / f"{stem}.csv")) for stem in stems]


def _write_objects(output: Path, finished: Sequence[Sample]) -> None:
    """objects.csv."""
    content = to_csv(tables_of(output, [sample.stem for sample in finished]))
    write_atomic(output / "objects.csv", content.encode("utf-8", "backslashreplace"))


def _write_counts(output: Path, finished: Sequence[Sample]) -> None:
    """counts.csv: one row an image."""
    names = ("objects", "by_segmenter", "covered", "confidence", "decoder_calls", "tiles")
    lines = [",".join(("image", *names))]
    for sample in finished:
        facts = read_facts(output, sample.stem) or {}
        name = f'"{sample.stem}"' if "," in sample.stem else sample.stem
        lines.append(",".join([name, *(str(facts.get(one, "")) for one in names)]))
    write_atomic(output / "counts.csv", ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))


def _write_coco(run: InstanceRun, samples: Sequence[Sample], finished: Sequence[Sample]) -> None:
    """coco.json, one annotation an object."""
    assert run.coco is not None, "asked for"
    names = dict(zip(samples, coco_names(samples), strict=True))

    def entries() -> Any:
        for sample in finished:
            labels = load_labels(run.output / "labels_tiff" / f"{sample.stem}.tif")
            table = read_csv(run.output / "objects" / f"{sample.stem}.csv")
            yield names[sample], labels, [float(one) for one in table.get("confidence", ())]

    write_coco_objects(run.coco, entries())
