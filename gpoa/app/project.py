"""One folder of images and what is known of each: masks of runs, masks that a person accepted.

Everything lives in the output folder as plain files, those of `gpoa run` (`gpoa.pipeline.folder`) and

    app.json        which images the masks belong to
    accepted/       masks that a person accepted (`gpoa.app.accepted`), which are also written to masks/
    app.lock        held while a page is open on the project

so that a project can be closed, opened and continued, also with `gpoa run`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpoa import __version__
from gpoa.app.accepted import Accepted, accepted_path, read_accepted, remove_accepted, write_accepted
from gpoa.app.lock import ProjectLock
from gpoa.app.references import choose_references
from gpoa.config import ReadingConfig
from gpoa.datasets.folder import is_output
from gpoa.datasets.mask_io import save_mask
from gpoa.datasets.pages import expand_pages, load_sample
from gpoa.datasets.targets import find_targets
from gpoa.errors import DataError
from gpoa.pipeline.outputs import check_apart, mask_path, overlay_path, prepare_folder, save_picture
from gpoa.pipeline.progress import Item
from gpoa.runtime.atomic import encode_json, write_atomic
from gpoa.types import Sample
from gpoa.viewer.overlays import draw_overlay

FORMAT = 1
STATE_FILE = "app.json"
ACCEPTED = "accepted"
"""The `choice` that `run.json` names for an image whose mask a person accepted."""
STACKS = (".tif", ".tiff", ".dcm", ".dicom", ".ima", ".nii", ".nii.gz", "")
"""Only these are opened to count their pages when a folder is opened: 20,000 photographs stay closed."""


@dataclass
class Entry:
    """What is known of one image.

    Args:
        sample: the image.
        status: new; ok, a run made a mask; absent, a run did not find the object; failed, it could not be read.
        confidence: of the run's mask, in [0, 1].
        error: one line, where it failed.
        accepted: what a person said of it.
        edited: it has changes that nobody accepted yet.
        changed: the project's revision at which something of this changed.
    """

    sample: Sample
    status: str = "new"
    confidence: float | None = None
    error: str = ""
    accepted: Accepted | None = None
    edited: bool = False
    changed: int = 0

    def plain(self, index: int) -> dict[str, Any]:
        """As the page gets it."""
        name = self.sample.stem.encode("utf-8", "replace").decode("utf-8")
        made: dict[str, Any] = {"i": index, "name": name, "status": self.status, "v": self.changed}
        if self.confidence is not None:
            made["confidence"] = round(self.confidence, 4)
        if self.accepted is not None:
            made["accepted"] = "absent" if self.accepted.absent else "mask"
        if self.error:
            made["error"] = self.error
        if self.edited:
            made["edited"] = True
        return made


class Project:
    """A folder of images and its output folder.

    Args:
        images: the folder.
        output: receives everything; made where it is missing.
        reading: how images are read.

    Attributes:
        entries: one an image, in natural order.
        revision: grows with every change.
        learned: the `order` of the latest accepted mask that a run has learned from.

    Raises:
        DataError: there is no image, the output folder cannot be written or holds another folder's project, or the
            project is open in another window of another program.
    """

    def __init__(self, images: Path, output: Path, reading: ReadingConfig | None = None) -> None:
        self.images, self.output, self.reading = images, output, reading or ReadingConfig()
        samples = find_targets(images).samples
        stacks = {id(one) for one in samples if one.image_path.suffix.lower() in STACKS or _is_nifti(one)}
        if stacks:
            paged = {id(one): expand_pages([one], self.reading) for one in samples if id(one) in stacks}
            samples = [page for one in samples for page in paged.get(id(one), [one])]
        check_apart(samples, output)
        prepare_folder(output)
        self.lock = ProjectLock(output)
        try:
            self._check_owner()
            self._state = threading.RLock()
            self.entries = [Entry(sample) for sample in samples]
            self.by_stem = {sample.stem: index for index, sample in enumerate(samples)}
            self.revision = 1
            self.learned = int(_read_state(output).get("learned", 0))
            self._read_earlier()
            self._write_state()
        except BaseException:
            self.lock.release()
            raise

    def close(self) -> None:
        """Lets others open the project."""
        self.lock.release()

    def entry(self, index: int) -> Entry:
        """One image.

        Raises:
            DataError: there is no such image.
        """
        if not 0 <= index < len(self.entries):
            raise DataError(f"image {index}: this folder has {len(self.entries)} images; load the page again")
        return self.entries[index]

    def load(self, index: int) -> np.ndarray:
        """The pixels of an image: [H, W, 3] uint8 RGB.

        Raises:
            ImageError: it cannot be read.
        """
        return load_sample(self.entry(index).sample, self.reading)

    def mark(self, index: int, **values: Any) -> None:
        """Changes what is known of an image; the page hears of it."""
        with self._state:
            entry = self.entry(index)
            for name, value in values.items():
                setattr(entry, name, value)
            self.revision += 1
            entry.changed = self.revision

    def note(self, item: Item) -> None:
        """What a run made of an image."""
        index = self.by_stem.get(item.stem)
        if index is None:
            return
        if self.entries[index].accepted is not None:  # accepted while the run was at it: the person's mask stays
            self._restore(index)
        elif item.status == "failed":
            self.mark(index, status="failed", error=item.error)
        else:
            self.mark(index, status="absent" if item.is_absent else "ok", confidence=item.confidence, error="")

    def changes(self, since: int) -> tuple[int, list[dict[str, Any]]]:
        """(the revision, the images that changed after `since`)."""
        with self._state:
            found = [one.plain(i) for i, one in enumerate(self.entries) if one.changed > since or since == 0]
            return self.revision, found

    def accept(self, index: int, image: np.ndarray, mask: np.ndarray, clicks: int = 0, strokes: int = 0) -> None:
        """Keeps a mask that a person accepted; an empty one says that the object is absent.

        Args:
            index: which image.
            image: [H, W, 3] uint8 RGB, its pixels.
            mask: [H, W] bool at the image's size.
            clicks, strokes: how it was made.

        Raises:
            DataError: a file cannot be written.
        """
        entry = self.entry(index)
        with self._state:
            orders = [one.accepted.order for one in self.entries if one.accepted is not None]
            order = max(orders, default=0) + 1
            one = Accepted(entry.sample.stem, order, not mask.any(), clicks, strokes)
            write_accepted(self.output, one, mask)
            self.mark(index, accepted=one, edited=False)
        save_mask(mask_path(self.output, entry.sample), mask)
        save_picture(draw_overlay(image, mask), overlay_path(self.output, entry.sample))

    def take_back(self, index: int) -> None:
        """An accepted mask no longer counts; it stays in masks/ until the next run.

        Raises:
            DataError: its files cannot be removed.
        """
        with self._state:
            remove_accepted(self.output, self.entry(index).sample.stem)
            self.mark(index, accepted=None)

    def accepted(self) -> list[tuple[int, Accepted]]:
        """(index, what was said) of the accepted images, in the order in which they were accepted."""
        with self._state:
            found = [(i, one.accepted) for i, one in enumerate(self.entries) if one.accepted is not None]
        return sorted(found, key=lambda pair: (pair[1].order, pair[1].stem))

    def references(self) -> list[tuple[int, Path]]:
        """(index, mask file) of the images that a run learns from.

        Raises:
            DataError: no image has an accepted mask with the object in it.
        """
        usable = [(index, one) for index, one in self.accepted() if not one.absent]
        if not usable:
            raise DataError("no example yet: open an image that shows the object, click on it, and accept the mask")
        return [(index, accepted_path(self.output, one.stem)) for index, one in choose_references(usable)]

    def unlearned(self) -> int:
        """How many accepted masks, empty ones left out, are newer than the latest run."""
        return sum(not one.absent and one.order > self.learned for _, one in self.accepted())

    def note_learned(self, order: int) -> None:
        """A run that learned from the masks up to `order` is done.

        Raises:
            DataError: the file cannot be written.
        """
        with self._state:
            self.learned = order
            self._write_state()

    def command(self) -> str:
        """The command that goes on with this project; empty without an example."""
        with contextlib.suppress(DataError):
            pairs = self.references()
            images = [str(self.entries[index].sample.image_path) for index, _ in pairs]
            masks = [str(path) for _, path in pairs]
            words = ["gpoa", "run", "--reference", *images, "--mask", *masks]
            return shlex.join([*words, "--targets", str(self.images), "--output", str(self.output)])
        return ""

    def _write_state(self) -> None:
        """Writes `app.json`."""
        plain = {"format": FORMAT, "gpoa": __version__, "images": str(self.images.resolve()), "learned": self.learned}
        write_atomic(self.output / STATE_FILE, encode_json(plain, indent=1))

    def _check_owner(self) -> None:
        """Refuses an output folder in which the masks of another folder's images lie.

        Raises:
            DataError: says which.
        """
        known = project_images(self.output)
        if known is not None and known != self.images.resolve():
            raise DataError(f"{self.output}: holds the masks of {known}; choose another --output")

    def _read_earlier(self) -> None:
        """What earlier runs and pages left in the output folder."""
        for item in earlier_items(self.output, [one.sample for one in self.entries]):
            self.note(item)
        for one in read_accepted(self.output):
            index = self.by_stem.get(one.stem)
            if index is None:
                continue
            self.mark(index, accepted=one)
            self._restore(index)

    def _restore(self, index: int) -> None:
        """Puts an accepted mask back into masks/, where a kill or another program kept it from lying there."""
        sample = self.entries[index].sample
        kept, shown = accepted_path(self.output, sample.stem), mask_path(self.output, sample)
        with contextlib.suppress(OSError):
            content = kept.read_bytes()
            if not shown.is_file() or shown.read_bytes() != content:
                write_atomic(shown, content)
                overlay_path(self.output, sample).unlink(missing_ok=True)


def project_images(output: Path) -> Path | None:
    """The images that a project's output folder belongs to; None where no page was open on it."""
    images = _read_state(output).get("images")
    return Path(images) if isinstance(images, str) else None


def _read_state(output: Path) -> dict[str, Any]:
    """What `app.json` says; nothing where there is none or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        plain = json.loads((output / STATE_FILE).read_bytes())
        return plain if isinstance(plain, dict) else {}
    return {}


def earlier_items(output: Path, samples: Iterable[Sample]) -> list[Item]:
    """What earlier runs made of images: from `run.json`, and of later ones, which a kill kept out of it, from the
    prompt files.

    Args:
        output: of the runs.
        samples: the images.
    """
    if not is_output(output):
        return []
    run_file, prompts = output / "run.json", output / "optimized_prompts"
    known: dict[str, Item] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for plain in json.loads(run_file.read_bytes())["images"]:
            if plain["choice"] == ACCEPTED:
                continue
            known[plain["stem"]] = Item(plain["stem"], plain["status"], plain["confidence"], error=plain["error"])
    closed = run_file.stat().st_mtime_ns if run_file.is_file() else 0
    files = {path.name: path.stat().st_mtime_ns for path in os.scandir(prompts)} if prompts.is_dir() else {}
    for sample in samples:
        if files.get(f"{sample.stem}.json", 0) > closed:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                plain = json.loads((prompts / f"{sample.stem}.json").read_bytes())
                known[sample.stem] = Item(sample.stem, plain.get("status", "ok"), plain.get("confidence"))
    return [known[one.stem] for one in samples if one.stem in known and _has_mask(output, one, known[one.stem])]


def _has_mask(output: Path, sample: Sample, item: Item) -> bool:
    return item.status == "failed" or mask_path(output, sample).is_file()


def _is_nifti(sample: Sample) -> bool:
    return sample.image_path.name.lower().endswith(".nii.gz")


