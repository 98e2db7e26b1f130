"""The stages of `gpoa.pipeline.image` over folders: resumable, one bad image never ends a batch, ctrl-C loses nothing
done.

`targets` is a file, a folder, several of both, or what `find_targets` made of them.

What `run_folder` writes below its output folder:

    initial_prompts/<stem>.json .npz      and pictures/<stem>.jpg, the points on the image
    optimized_prompts/<stem>.json .npz
    masks/<stem>.png                      0/255 at the original size
    overlays/<stem>.jpg
    contact_sheet.jpg  run.json
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.config import LEARNED, ReadingConfig, to_dict
from gpoa.datasets.options import CocoFile
from gpoa.datasets.pages import expand_pages, load_sample
from gpoa.datasets.prompt_file import PromptRecord, read_prompts, write_prompts
from gpoa.datasets.targets import find_targets
from gpoa.errors import DataError, GpoaError
from gpoa.instances.seeds import count_parts
from gpoa.pipeline.closing import close_run
from gpoa.pipeline.folder_learning import encode_ahead, learning_once
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.outputs import (
    complete_pictures,
    file_digest,
    kept_record,
    open_targets,
    prepare_folder,
    store_initial,
    store_mask,
    store_trace,
    trace_path,
)
from gpoa.pipeline.progress import Item, Report, process
from gpoa.runtime.prefetch import ReadAhead, plan_for
from gpoa.types import Sample

logger = logging.getLogger(__name__)

REFERENCE_FILE = "reference.gpoa.npz"


@dataclass(frozen=True, eq=False)
class Share:
    """What one of several processes works on, or one alone.

    Args:
        mine: the images to segment; may block only where `waiting` says so.
        waiting: False where the next of them is not known yet.
        tell: is handed what became of each.
        title: the progress bar's label; None shows no bar.
        first_taught: where in the list of teaching images to begin, from 0 to 1; see `learn_folder`.
    """

    mine: Iterable[Sample]
    waiting: Callable[[], bool] = lambda: True
    tell: Callable[[Item], None] = lambda item: None
    title: str | None = "gpoa run"
    first_taught: float = 0.0


@dataclass(frozen=True, eq=False)
class _Opened:
    """One target as it was read: what its files are made from; and what an earlier run made of it, or its pixels."""

    made_from: dict[str, str]
    kept: Item | None
    image: np.ndarray | None


def run_prompts(segmenter: ImagePipeline, targets: Any, output: Path) -> Report:
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
    found = find_targets(targets)
    samples = expand_pages(found.samples, segmenter.config.reading)
    prepare_folder(output)
    segmenter.save_reference(output / REFERENCE_FILE)

    def work(sample: Sample) -> Item:
        image = load_sample(sample, segmenter.config.reading)
        record = segmenter.initial_prompts(image, sample.image_path.name)
        store_initial(output, sample.stem, image, record)
        return Item(sample.stem, record.status)

    return process(samples, work, "prompts", len(samples), notes=found.notes)


def run_optimize(
    segmenter: ImagePipeline, targets: Any, prompts: Path, output: Path, trace: bool = False
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
    found = find_targets(targets)
    samples = expand_pages(found.samples, segmenter.config.reading)
    prepare_folder(output)
    if (prompts / REFERENCE_FILE).is_file():
        segmenter.load_reference(prompts / REFERENCE_FILE)
    elif not segmenter.is_fitted:
        _say_without_reference(segmenter, prompts)
    if segmenter.strategy in LEARNED:
        _ = segmenter.agent.policy  # loaded before the first image, so that a wrong one is refused at once
    elif segmenter.strategy == "sb3":
        _ = segmenter.sb3_agent.policy
    learn_once = learning_once(segmenter, samples, lambda image, sample: read_prompts(prompts / f"{sample.stem}.json"))

    def work(sample: Sample) -> Item:
        record = read_prompts(prompts / f"{sample.stem}.json")
        image = load_sample(sample, segmenter.config.reading)
        learn_once()
        improved, search = segmenter.optimize(image, record)
        if trace and search is not None:
            store_trace(output, sample.stem, image, search)
        write_prompts(output / f"{sample.stem}.json", improved)
        choice = search.best.name if search else ""
        return Item(sample.stem, improved.status, improved.confidence, choice, _is_doubtful(improved))

    return process(samples, work, "optimize", len(samples), notes=found.notes)


def _say_without_reference(segmenter: ImagePipeline, prompts: Path) -> None:
    """Says what cannot be done with prompts that come without their reference.

    Raises:
        DataError: the strategy needs it.
    """
    strategy = segmenter.config.optimize.strategy
    what = f"{prompts}: {REFERENCE_FILE} is missing, which `gpoa prompts` and `gpoa run --keep-reference` write"
    if strategy in LEARNED:
        raise DataError(f"{what}; --strategy {strategy} needs it: write it, or take --strategy best-of-n")
    if strategy == "auto":
        logger.warning("%s; --strategy auto leaves the prompts as they are", what)


def run_segment(
    segmenter: ImagePipeline, targets: Any, prompts: Path, output: Path, coco: CocoFile | Path | None = None
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
    found = open_targets(targets, segmenter.config.reading, output)
    samples = found.samples

    def work(sample: Sample) -> Item:
        image = load_sample(sample, segmenter.config.reading)
        record = read_prompts(prompts / f"{sample.stem}.json")
        mask = segmenter.segment(image, record)
        store_mask(output, sample.stem, image, mask, record)
        return Item(sample.stem, record.status, record.confidence, doubtful=_is_doubtful(record))

    report = process(samples, work, "segment", len(samples), notes=found.notes)
    close_run(output, samples, report, coco, [])
    return report


def run_folder(
    segmenter: ImagePipeline,
    targets: Any,
    output: Path,
    coco: CocoFile | Path | None = None,
    command: str = "",
    trace: bool = False,
    keep_reference: bool = False,
) -> Report:
    """Prompts, optimises and segments every target; what an earlier run of the same settings did is kept.

    Args:
        segmenter: fitted.
        targets: a file, a folder, or several.
        output: receives what the module's docstring lists.
        coco: also write all masks as one COCO json file.
        command: recorded in `run.json`.
        trace: also write `traces/`, pictures of what was tried; images that an earlier run finished are done again
            where theirs is missing.
        keep_reference: also write what `gpoa optimize` needs to improve these prompts again (4 MB).

    Returns:
        What became of each image.

    Raises:
        DataError: no targets, or the folder cannot be written.
    """
    found = open_targets(targets, segmenter.config.reading, output)
    samples = found.samples
    facts = start_run(segmenter, output, keep_reference)
    report = work_through(segmenter, samples, Share(samples), output, trace)
    report.notes += found.notes
    close_run(output, samples, report, coco, segmenter.shots, {"command": command, **facts})
    segmenter.backbones.cache.trim()
    return report


def start_run(segmenter: ImagePipeline, output: Path, keep_reference: bool) -> dict[str, Any]:
    """Stores the reference, where it is asked for or one of an earlier run would be left beside the new prompts.

    Args:
        segmenter: fitted.
        output: the run's output folder.
        keep_reference: as in `run_folder`.

    Returns:
        What `run.json` says of the models and settings.

    Raises:
        ModelError: the policy that was asked for cannot be used.
    """
    path = output / "initial_prompts" / REFERENCE_FILE
    if keep_reference or path.is_file():
        segmenter.save_reference(path)
    return {
        "config": to_dict(segmenter.config),
        "models": segmenter.backbones.ids,
        "device": segmenter.backbones.device,
        "processes": 1,
        "run_digest": segmenter.run_digest(),
    }


def work_through(
    segmenter: ImagePipeline, samples: Sequence[Sample], share: Share, output: Path, trace: bool = False
) -> Report:
    """The work of `run_folder` on each image, without what needs them all.

    Args:
        segmenter: fitted.
        samples: the whole folder, from which the learned strategies learn.
        share: the images to segment.
        output: receives the files of each image.
        trace: as in `run_folder`.

    Returns:
        What became of each image.
    """
    digest, backbones = segmenter.run_digest(), segmenter.backbones
    learn_once = learning_once(segmenter, samples, first=share.first_taught)

    def open_one(sample: Sample) -> _Opened:
        made_from = {"run": digest, "image": file_digest(sample.image_path)}
        kept = _kept_item(output, sample, made_from, trace, segmenter.config.reading)
        return _Opened(made_from, kept, None if kept is not None else load_sample(sample, segmenter.config.reading))

    def encode(opened: Sequence[_Opened]) -> None:
        encode_ahead(segmenter, [one.image for one in opened if one.image is not None])

    def work(sample: Sample) -> Item:
        opened = ahead.take()
        if opened.kept is not None:
            return opened.kept
        learn_once()
        return _segment_one(segmenter, sample, opened, output, trace)

    plan = plan_for(backbones.device, backbones.ahead)
    with ReadAhead(share.mine, open_one, plan, encode, share.waiting) as ahead:
        return process(ahead, work, share.title, len(samples), share.tell)


def _kept_item(
    output: Path, sample: Sample, made_from: dict[str, str], trace: bool, reading: ReadingConfig
) -> Item | None:
    """What an earlier run made of an image, its pictures drawn again where they are gone; None where the image has to
    be done, or its animation is asked for and missing.
    """
    stem = sample.stem
    kept = kept_record(output, stem, made_from)
    if kept is None or (trace and kept.status == "ok" and not trace_path(output, stem).is_file()):
        return None
    try:
        complete_pictures(output, sample, kept, reading)
    except DataError:
        raise  # nothing can be written there
    except GpoaError:
        return None
    doubtful, choice = _is_doubtful(kept), kept.provenance.get("choice", "")
    return Item(stem, "kept", kept.confidence, choice, doubtful, parts=_parts(kept))


def _segment_one(segmenter: ImagePipeline, sample: Sample, opened: _Opened, output: Path, trace: bool) -> Item:
    """Prompts, optimises and segments one image, and writes its files."""
    assert opened.image is not None, "read where nothing was kept"
    image = opened.image
    initial = segmenter.initial_prompts(image, sample.image_path.name)
    optimized, search = segmenter.optimize(image, initial)
    mask = segmenter.segment(image, optimized, search)
    if trace and search is not None:
        store_trace(output, sample.stem, image, search)
    store_initial(output / "initial_prompts", sample.stem, image, initial)
    store_mask(output, sample.stem, image, mask, optimized)
    # Written last: this file says that everything else of the image is there.
    done = replace(optimized, provenance={**optimized.provenance, "made_from": opened.made_from})
    write_prompts(output / "optimized_prompts" / f"{sample.stem}.json", done)
    choice, parts = search.best.name if search else "", _parts(initial)
    return Item(sample.stem, optimized.status, optimized.confidence, choice, _is_doubtful(optimized), parts=parts)


def _parts(record: PromptRecord) -> int:
    """In how many parts the prior's map falls apart; 0 where another matcher made the map, or there is none."""
    detail = None if record.score_map is None else record.score_map.detail
    return 0 if detail is None or record.status == "absent" else count_parts(detail)


def _is_doubtful(record: PromptRecord) -> bool:
    return record.status == "ok" and bool(record.provenance.get("doubtful"))
