"""The stages of `gpoa.pipeline` over folders: resumable, one bad image never ends a batch, ctrl-C loses nothing done.

What `run_folder` writes below its output folder:

    initial_prompts/<stem>.json .npz      and pictures/<stem>.jpg, the points on the image
    optimized_prompts/<stem>.json .npz
    masks/<stem>.png                      0/255 at the original size
    overlays/<stem>.jpg
    contact_sheet.jpg  run.json
"""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpoa import __version__
from gpoa.atomic import write_atomic
from gpoa.config import LEARNED, to_dict
from gpoa.datasets.coco import write_coco
from gpoa.datasets.folder import find_samples, spaced
from gpoa.datasets.image_io import load_image, load_mask
from gpoa.datasets.prompt_file import PromptRecord, read_prompts, write_prompts
from gpoa.errors import GpoaError, one_line
from gpoa.outputs import (
    file_digest,
    kept_record,
    mask_path,
    prepare_folder,
    save_picture,
    store_initial,
    store_mask,
    store_trace,
    trace_path,
)
from gpoa.pipeline import OneShotSegmenter
from gpoa.types import Sample
from gpoa.viewer.overlays import Tile, contact_sheet, draw_overlay

logger = logging.getLogger(__name__)

REFERENCE_FILE = "reference.gpoa.npz"
SHEET_TILES = 48

RecordOf = Callable[[np.ndarray, Sample], PromptRecord]
"""(image [H, W, 3] uint8 RGB, sample) -> its initial prompts."""


@dataclass(frozen=True)
class Item:
    """What became of one image.

    Args:
        stem: the name under which its files are stored.
        status: ok; absent, the object was not found; kept, already there; failed.
        confidence: the judge's score in [0, 1], or None.
        doubtful: the quality head expects so little of the mask that the object may be absent; the mask is written.
        choice: which prompt set the optimiser chose.
        seconds: time spent.
        error: one line, where it failed.
    """

    stem: str
    status: str = "ok"
    confidence: float | None = None
    choice: str = ""
    doubtful: bool = False
    seconds: float = 0.0
    error: str = ""


@dataclass
class Report:
    """What became of a batch.

    Args:
        items: one for each image that was reached.
        total: images in the batch.
        interrupted: stopped by ctrl-C.
    """

    total: int
    items: list[Item] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    def count(self, status: str) -> int:
        """How many images have a status."""
        return sum(item.status == status for item in self.items)

    @property
    def exit_code(self) -> int:
        """0 when every image was done, 1 when some failed, 130 after ctrl-C."""
        return 130 if self.interrupted else int(self.count("failed") > 0)

    def summary(self) -> str:
        """One line for people."""
        done = [f"{self.count('ok')} segmented"]
        done += [f"{self.count(name)} {text}" for name, text in NOTED.items() if self.count(name)]
        doubtful = sum(item.doubtful for item in self.items)
        done += [f"{doubtful} doubtful, the object may be absent"] if doubtful else []
        left = self.total - len(self.items)
        done += [f"{left} not reached (interrupted; run the same command to go on)"] if left else []
        return f"{', '.join(done)} of {self.total} images in {self.seconds:.1f} s"


NOTED = {"kept": "already there", "absent": "without the object", "failed": "failed"}


def process(samples: Sequence[Sample], work: Callable[[Sample], Item], title: str) -> Report:
    """Runs a stage over images with one progress bar, and goes on after an image that fails.

    Args:
        samples: the images.
        work: handles one image.
        title: the progress bar's label.

    Returns:
        What became of each image.
    """
    from tqdm import tqdm

    report, began = Report(total=len(samples)), time.perf_counter()
    bar = tqdm(samples, desc=title, unit="image", disable=None)
    try:
        for sample in bar:
            start = time.perf_counter()
            try:
                item = work(sample)
            except (GpoaError, OSError) as error:
                item = Item(sample.stem, "failed", error=one_line(error))
            except Exception as error:  # one bad image never ends a batch; -v shows where it came from
                logger.debug("unexpected error on %s", sample.image_path, exc_info=True)
                item = Item(sample.stem, "failed", error=f"{type(error).__name__}: {one_line(error)}")
            if item.status == "failed":
                bar.set_postfix(failed=report.count("failed") + 1)
            report.items.append(replace(item, seconds=round(time.perf_counter() - start, 4)))
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        bar.close()
    report.seconds = time.perf_counter() - began
    return report


def run_prompts(segmenter: OneShotSegmenter, targets: Any, output: Path) -> Report:
    """Writes the initial prompts of every target and a picture of them.

    Args:
        segmenter: fitted.
        targets: a file, a folder, or several.
        output: receives `<stem>.json`, `<stem>.npz`, `pictures/<stem>.jpg`.

    Returns:
        What became of each image.

    Raises:
        DataError: no targets, or the folder cannot be written.
    """
    samples = find_samples(targets)
    prepare_folder(output)
    segmenter.save_reference(output / REFERENCE_FILE)

    def work(sample: Sample) -> Item:
        image = load_image(sample.image_path)
        record = segmenter.initial_prompts(image, sample.image_path.name)
        store_initial(output, sample.stem, image, record)
        return Item(sample.stem, record.status)

    return process(samples, work, "prompts")


def run_optimize(
    segmenter: OneShotSegmenter, targets: Any, prompts: Path, output: Path, trace: bool = False
) -> Report:
    """Improves the prompts of every target.

    Args:
        segmenter: fitted, or not: then the reference is read from the prompts folder where it lies there.
        targets: the images.
        prompts: folder of prompt files.
        output: receives the improved prompt files.
        trace: also write `traces/`, pictures of what was tried.

    Returns:
        What became of each image.

    Raises:
        DataError: no targets, or a folder cannot be used.
    """
    samples = find_samples(targets)
    prepare_folder(output)
    if (prompts / REFERENCE_FILE).is_file():
        segmenter.load_reference(prompts / REFERENCE_FILE)

    if segmenter.strategy in LEARNED:
        _ = segmenter.policy  # loaded before the first image, so that a wrong one is refused at once
    learn_once = _learning_once(segmenter, samples, lambda image, sample: read_prompts(prompts / f"{sample.stem}.json"))

    def work(sample: Sample) -> Item:
        record = read_prompts(prompts / f"{sample.stem}.json")
        image = load_image(sample.image_path)
        learn_once()
        improved, search = segmenter.optimize(image, record)
        if trace and search is not None:
            store_trace(output, sample.stem, image, search)
        write_prompts(output / f"{sample.stem}.json", improved)
        choice = search.best.name if search else ""
        return Item(sample.stem, improved.status, improved.confidence, choice, _is_doubtful(improved))

    return process(samples, work, "optimize")


def run_segment(
    segmenter: OneShotSegmenter, targets: Any, prompts: Path, output: Path, coco: Path | None = None
) -> Report:
    """Segments every target with the prompts in a folder.

    Args:
        segmenter: need not be fitted.
        targets: the images.
        prompts: folder of prompt files.
        output: receives `masks/`, `overlays/` and the contact sheet.
        coco: also write all masks as one COCO json file.

    Returns:
        What became of each image.

    Raises:
        DataError: no targets, or a folder cannot be used.
    """
    samples = find_samples(targets)
    prepare_folder(output)

    def work(sample: Sample) -> Item:
        image = load_image(sample.image_path)
        record = read_prompts(prompts / f"{sample.stem}.json")
        mask = segmenter.segment(image, record)
        store_mask(output, sample.stem, image, mask, record)
        return Item(sample.stem, record.status, record.confidence, doubtful=_is_doubtful(record))

    report = process(samples, work, "segment")
    _finish(output, samples, report, coco, [])
    return report


def run_folder(
    segmenter: OneShotSegmenter,
    targets: Any,
    output: Path,
    coco: Path | None = None,
    command: str = "",
    trace: bool = False,
) -> Report:
    """Prompts, optimises and segments every target; what an earlier run of the same settings did is kept.

    Args:
        segmenter: fitted.
        targets: a file, a folder, or several.
        output: receives what the module's docstring lists.
        coco: also write all masks as one COCO json file.
        command: recorded in `run.json`.
        trace: also write `traces/`, pictures of what was tried; images that an earlier run finished are done again where
            theirs is missing.

    Returns:
        What became of each image.

    Raises:
        DataError: no targets, or the folder cannot be written.
    """
    samples = find_samples(targets)
    prepare_folder(output)
    segmenter.save_reference(output / "initial_prompts" / REFERENCE_FILE)
    digest = segmenter.run_digest()
    learn_once = _learning_once(segmenter, samples)

    def work(sample: Sample) -> Item:
        made_from = {"run": digest, "image": file_digest(sample.image_path)}
        kept = kept_record(output, sample.stem, made_from)
        if kept is not None and not (trace and kept.status == "ok" and not trace_path(output, sample.stem).is_file()):
            return Item(sample.stem, "kept", kept.confidence, kept.provenance.get("choice", ""), _is_doubtful(kept))
        image = load_image(sample.image_path)
        learn_once()
        initial = segmenter.initial_prompts(image, sample.image_path.name)
        optimized, search = segmenter.optimize(image, initial)
        mask = segmenter.segment(image, optimized, search)
        if trace and search is not None:
            store_trace(output, sample.stem, image, search)
        store_initial(output / "initial_prompts", sample.stem, image, initial)
        store_mask(output, sample.stem, image, mask, optimized)
        # Written last: this file says that everything else of the image is there.
        done = replace(optimized, provenance={**optimized.provenance, "made_from": made_from})
        write_prompts(output / "optimized_prompts" / f"{sample.stem}.json", done)
        choice = search.best.name if search else ""
        return Item(sample.stem, optimized.status, optimized.confidence, choice, _is_doubtful(optimized))

    report = process(samples, work, "gpoa run")
    _finish(output, samples, report, coco, segmenter.shots)
    _write_run_file(output, segmenter, report, command)
    segmenter.backbones.cache.trim()
    return report


def learn_folder(segmenter: OneShotSegmenter, samples: Sequence[Sample], record_of: RecordOf | None = None) -> None:
    """Teaches a segmenter the first masks of `graph.folder_images` images, evenly spaced; images that cannot be used are
    passed over (their own turn says why).

    Args:
        segmenter: fitted.
        samples: the folder.
        record_of: gives an image's initial prompts; default: the segmenter makes them.
    """
    record_of = record_of or (lambda image, sample: segmenter.initial_prompts(image, sample.image_path.name))
    masks = []
    for sample in (samples[place] for place in spaced(len(samples), segmenter.config.graph.folder_images)):
        try:
            image = load_image(sample.image_path)
            masks.append((image, segmenter.first_mask(image, record_of(image, sample))))
        except (GpoaError, OSError) as error:
            logger.debug("%s teaches nothing: %s", sample.image_path, error)
    segmenter.learn_folder(masks)


def _learning_once(
    segmenter: OneShotSegmenter, samples: Sequence[Sample], record_of: RecordOf | None = None
) -> Callable[[], None]:
    """`learn_folder` when it is first called, where the strategy asks for it."""

    @functools.cache
    def learn() -> None:
        if segmenter.strategy in LEARNED and len(samples) > 1:
            learn_folder(segmenter, samples, record_of)

    return learn


def _finish(
    output: Path,
    samples: Sequence[Sample],
    report: Report,
    coco: Path | None,
    shots: Sequence[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Writes what needs all images: the contact sheet, references first, and the COCO file."""
    done = {item.stem: item for item in report.items if item.status != "failed"}
    finished = [sample for sample in samples if sample.stem in done]
    if not finished:
        return
    tiles = [Tile(draw_overlay(image, mask), "reference") for image, mask in shots]
    for sample in (finished[place] for place in spaced(len(finished), SHEET_TILES)):
        with Image.open(output / "overlays" / f"{sample.stem}.jpg") as picture:
            tiles.append(Tile(picture.copy(), _caption(done[sample.stem])))
    save_picture(contact_sheet(tiles), output / "contact_sheet.jpg")
    if coco is not None:
        write_coco(coco, [(s.image_path.name, load_mask(mask_path(output, s), allow_empty=True)) for s in finished])


def _is_doubtful(record: PromptRecord) -> bool:
    return record.status == "ok" and bool(record.provenance.get("doubtful"))


def _caption(item: Item) -> str:
    """Name and confidence."""
    if item.confidence is None:
        return item.stem
    if item.confidence <= 0:
        return f"{item.stem}   not found"
    return f"{item.stem}   {item.confidence:.2f}" + ("   absent?" if item.doubtful else "")


def _write_run_file(output: Path, segmenter: OneShotSegmenter, report: Report, command: str) -> None:
    """Writes what was done with what, so that it can be repeated."""
    plain = {
        "gpoa": __version__,
        "command": command,
        "config": to_dict(segmenter.config),
        "models": segmenter.backbones.ids,
        "device": segmenter.backbones.device,
        "run_digest": segmenter.run_digest(),
        "seconds": round(report.seconds, 3),
        "interrupted": report.interrupted,
        "images": [asdict(item) for item in report.items],
    }
    write_atomic(output / "run.json", json.dumps(plain, indent=1, ensure_ascii=False).encode("utf-8"))
