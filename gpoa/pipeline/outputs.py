"""The files of a run below its output folder, each written atomically; `gpoa.pipeline.folder` lists them."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from gpoa.config import ReadingConfig
from gpoa.datasets.folder import OWN_FOLDERS
from gpoa.datasets.image_io import image_size
from gpoa.datasets.mask_io import load_mask, save_mask
from gpoa.datasets.pages import expand_pages, load_sample
from gpoa.datasets.prompt_file import PromptRecord, read_prompts, write_prompts
from gpoa.datasets.targets import Targets, find_targets
from gpoa.errors import DataError, GpoaError
from gpoa.geometry import sam_input_size
from gpoa.runtime.atomic import write_atomic
from gpoa.search.strategies import Optimized, Trial, fingerprint
from gpoa.segmenters.base import upscale_logits
from gpoa.types import Sample, Size
from gpoa.viewer.overlays import draw_overlay
from gpoa.viewer.traces import Step, draw_steps, trace_gif, trace_sheet


def prepare_folder(folder: Path) -> None:
    """Makes a folder and proves that it can be written.

    Raises:
        DataError: it cannot.
    """
    probe = folder / f".gpoa-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}); choose another --output") from error


def check_apart(samples: Sequence[Sample], output: Path) -> None:
    """Refuses an output folder in which the files of a run would replace targets.

    Args:
        samples: the targets.
        output: the run's output folder, which may be the targets' folder itself.

    Raises:
        DataError: a target lies where the run writes.
    """
    written = {(output / name).resolve(): name for name in OWN_FOLDERS}
    for sample in samples:
        for parent in sample.image_path.resolve().parents:
            if parent in written:
                place = f"{output}: the target {sample.image_path} lies in its {written[parent]}/"
                raise DataError(f"{place}, where this run writes; choose another --output")


def open_targets(targets: Any, reading: ReadingConfig, output: Path) -> Targets:
    """The targets of a run, every page a sample, once it is certain that its output folder can take what it writes.

    Args:
        targets: a file, a folder, several of both, or what `find_targets` made of them.
        reading: which pages.
        output: the run's output folder.

    Raises:
        DataError: no targets, one lies where the run writes, or the folder cannot be written.
    """
    found = find_targets(targets)
    samples = expand_pages(found.samples, reading)
    check_apart(samples, output)
    prepare_folder(output)
    return Targets(samples, found.notes)


def store_initial(folder: Path, stem: str, image: np.ndarray, record: PromptRecord) -> None:
    """Writes a prompt file and the picture of its points."""
    write_prompts(folder / f"{stem}.json", record)
    save_picture(draw_overlay(image, prompts=record.prompts), folder / "pictures" / f"{stem}.jpg")


def store_mask(output: Path, stem: str, image: np.ndarray, mask: np.ndarray, record: PromptRecord) -> None:
    """Writes a mask and its overlay."""
    save_mask(output / "masks" / f"{stem}.png", mask)
    save_picture(draw_overlay(image, mask, record.prompts), output / "overlays" / f"{stem}.jpg")


def trace_path(output: Path, stem: str) -> Path:
    """Where an image's animation is."""
    return output / "traces" / f"{stem}.gif"


def store_trace(output: Path, stem: str, image: np.ndarray, search: Optimized) -> None:
    """Writes what was tried as an animation and as a sheet: one step for each prompt set, then the one handed out."""
    size = (image.shape[0], image.shape[1])
    steps, seen = [], set()
    for trial in search.trials:
        key = fingerprint(replace(trial.prompts, mask_output=0))
        if key not in seen:
            steps.append(_to_step(trial, size, chosen=False))
        seen.add(key)
    steps.append(_to_step(search.best, size, chosen=True))
    frames = draw_steps(image, steps)
    write_atomic(trace_path(output, stem), trace_gif(frames))
    save_picture(trace_sheet(frames), trace_path(output, stem).with_suffix(".jpg"))


def _to_step(trial: Trial, size: Size, chosen: bool) -> Step:
    mask = upscale_logits(trial.logits, sam_input_size(size), size) > 0
    return Step(trial.name, trial.prompts, mask, trial.score, chosen)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a JPEG atomically."""
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=88)
    write_atomic(path, content.getvalue())


def kept_record(output: Path, stem: str, made_from: dict[str, str]) -> PromptRecord | None:
    """The record of an image that an earlier run of the same settings finished."""
    path, initial = (output / folder / f"{stem}.json" for folder in ("optimized_prompts", "initial_prompts"))
    mask = output / "masks" / f"{stem}.png"
    if not all(file.is_file() for file in (path, initial, mask)):
        return None
    try:
        record = read_prompts(path)
        if record.provenance.get("made_from") != made_from or image_size(mask) != record.original_size:
            return None
        if record.score_map is not None:
            read_prompts(initial)  # with the array file beside it
    except GpoaError:
        return None
    return record


def complete_pictures(output: Path, sample: Sample, record: PromptRecord, reading: ReadingConfig) -> None:
    """Draws the overlay and the picture of the initial prompts again, where an earlier run's are gone.

    Args:
        output: the run's output folder.
        sample: an image that `kept_record` knows.
        record: what that returned.
        reading: how images are read.

    Raises:
        GpoaError: the image, its mask or its prompts cannot be read, or a picture cannot be written.
    """
    overlay = overlay_path(output, sample)
    initial = output / "initial_prompts"
    points = initial / "pictures" / f"{sample.stem}.jpg"
    if overlay.is_file() and points.is_file():
        return
    image = load_sample(sample, reading)
    if not overlay.is_file():
        mask = load_mask(mask_path(output, sample), (image.shape[0], image.shape[1]), allow_empty=True)
        save_picture(draw_overlay(image, mask, record.prompts), overlay)
    if not points.is_file():
        save_picture(draw_overlay(image, prompts=read_prompts(initial / f"{sample.stem}.json").prompts), points)


def leftovers(output: Path, samples: Sequence[Sample]) -> list[str]:
    """The files in `masks/` that belong to no target: of images that are gone, or whose stem was made unique since.

    Returns:
        Their paths below `masks/`, sorted.
    """
    root = output / "masks"
    stems = {sample.stem for sample in samples}
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(path.as_posix() for path in files if path.with_suffix("").as_posix() not in stems)


def coco_names(samples: Sequence[Sample]) -> list[str]:
    """One `file_name` for each image of a COCO file, no two alike.

    Returns:
        The file's name (a page of a stack: its own, as the mask's), after its place below the targets' folder where
        there is one; where that is not enough (two target folders with equal names), the path below the folder that
        holds all targets.
    """
    pages = [sample.page is not None for sample in samples]
    files = [
        f"{PurePosixPath(s.stem).name}{s.image_path.suffix}" if page else s.image_path.name
        for s, page in zip(samples, pages, strict=True)
    ]
    names = [str(PurePosixPath(sample.stem).parent / file) for sample, file in zip(samples, files, strict=True)]
    if len(set(names)) == len(names):
        return names
    paths = [sample.image_path.resolve() for sample in samples]
    try:
        root = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # different drives
        return [path.as_posix() for path in paths]
    return [path.relative_to(root).as_posix() for path in paths]


def mask_path(output: Path, sample: Sample) -> Path:
    """Where an image's mask is."""
    return output / "masks" / f"{sample.stem}.png"


def overlay_path(output: Path, sample: Sample) -> Path:
    """Where an image's overlay is."""
    return output / "overlays" / f"{sample.stem}.jpg"


def file_digest(path: Path) -> str:
    """32 hexadecimal digits over a file's bytes."""
    state = path.stat()
    return _digest_once(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _digest_once(path: Path, size: int, changed: int) -> str:
    """The digest of a file in a state; the many pages of a stack ask for the same."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
