"""The files of a run below its output folder, each written atomically; `gpoa.pipeline.folder` lists them."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from gpoa.datasets.mask_io import save_mask
from gpoa.datasets.prompt_file import PromptRecord, read_prompts, write_prompts
from gpoa.errors import DataError, PromptError
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
    path = output / "optimized_prompts" / f"{stem}.json"
    if not path.is_file() or not (output / "masks" / f"{stem}.png").is_file():
        return None
    try:
        record = read_prompts(path)
    except PromptError:
        return None
    return record if record.provenance.get("made_from") == made_from else None


def mask_path(output: Path, sample: Sample) -> Path:
    """Where an image's mask is."""
    return output / "masks" / f"{sample.stem}.png"


def file_digest(path: Path) -> str:
    """32 hexadecimal digits over a file's bytes."""
    state = path.stat()
    return _digest_once(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _digest_once(path: Path, size: int, changed: int) -> str:
    """The digest of a file in a state; the many pages of a stack ask for the same."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
