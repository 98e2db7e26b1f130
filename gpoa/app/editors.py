"""The images that are open for correction, and the window that each is open in."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gpoa.app.editing import Clicker, Edit, enlarge
from gpoa.app.engine import Engine
from gpoa.app.pictures import Pixels, preview_of
from gpoa.app.project import Project
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError, GpoaError
from gpoa.pipeline.click_session import ClickSession
from gpoa.pipeline.outputs import mask_path
from gpoa.segmenters.base import Segmenter
from gpoa.types import ImageEmbedding, Size

if TYPE_CHECKING:
    from gpoa.pipeline.backbones import Backbones

KEPT = 8
"""So many images keep their preview and embedding; of the others only the steps are kept."""


@dataclass(frozen=True, eq=False)
class Ready:
    """What a click needs of an image; takes the place of `Backbones` there, so that it is never encoded twice.

    Args:
        preview: [h, w, 3] uint8 RGB.
        segmenter: in use.
        known: the preview's embedding.
    """

    preview: np.ndarray
    segmenter: Segmenter
    known: ImageEmbedding

    def embedding(self, image: np.ndarray, key: str | None = None) -> ImageEmbedding:
        """The preview's embedding."""
        return self.known


@dataclass(eq=False)
class Opened:
    """One image that is open.

    Args:
        edit: its mask and steps.
        full_size: (H, W) of the image.
        before: its mask at that size when it was opened, packed.
        owner: the window that may change it.
        ready: what clicks need, once it is there.
    """

    edit: Edit
    full_size: Size
    before: np.ndarray
    owner: str
    ready: Future[Ready] | None = None


class Editors:
    """Opens images for correction, and gets them ready for clicks in the background.

    Args:
        project: the images.
        engine: the models.
    """

    def __init__(self, project: Project, engine: Engine) -> None:
        self.project, self._engine = project, engine
        self.pixels = Pixels(project.load)
        self._open: OrderedDict[int, Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gpoa-encode")

    def close(self) -> None:
        """Ends the background work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def open(self, index: int, owner: str, take_over: bool = False) -> Opened:
        """Opens an image, or comes back to it.

        Args:
            index: which.
            owner: the window that asks.
            take_over: also where another window has it open.

        Raises:
            GpoaError: the image cannot be read.
            InUseError: another window has it open.
        """
        with self._lock:
            opened = self._open.get(index)
        if opened is None:
            opened = self._begin(index, owner)
        with self._lock:
            opened = self._open.setdefault(index, opened)
            if opened.owner != owner and opened.edit.steps and not take_over:
                raise InUseError("this image is being corrected in another window")
            opened.owner = owner
            self._open.move_to_end(index)
            for other in self._open.values():  # whoever pages through the folder waits for the last image only
                if other is not opened and other.ready is not None:
                    other.ready.cancel()
            if not _is_underway(opened.ready):
                opened.ready = self._pool.submit(self._get_ready, index)
            for old in list(self._open)[:-KEPT]:
                self._forget(old)
        return opened

    def get(self, index: int, owner: str) -> Opened:
        """An image that a window has open.

        Raises:
            InUseError: another window has it now.
        """
        with self._lock:
            opened = self._open.get(index)
        if opened is None:
            return self.open(index, owner)
        if opened.owner != owner:
            raise InUseError("this image was opened in another window, which corrects it now")
        return opened

    def wait(self, index: int, owner: str) -> Ready:
        """Returns when an image is ready for clicks.

        Raises:
            GpoaError: the models or the image cannot be used.
        """
        opened = self.get(index, owner)
        if not _is_underway(opened.ready):
            opened = self.open(index, owner)
        assert opened.ready is not None
        return opened.ready.result()

    def click(self, index: int, owner: str, x: float, y: float, label: int) -> float:
        """A click; see `Edit.click`.

        Returns:
            Seconds that it took once the image was ready.
        """
        opened, _ = self.get(index, owner), self.wait(index, owner)
        began = time.perf_counter()
        with self._engine.for_person():
            opened.edit.click(x, y, label)
        return time.perf_counter() - began

    def suggest(self, index: int, owner: str) -> tuple[int, int, int] | None:
        """Where the program would click; see `Edit.suggest`."""
        opened, ready = self.get(index, owner), self.wait(index, owner)
        with self._engine.for_person() as pipeline:
            prior = pipeline.prompter.score_map(ready.preview) if pipeline.is_fitted else None
            mask = opened.edit.mask
            start = mask if mask.any() or prior is not None else None  # with a prior alone, it would be the mask
            guide = ClickSession(ready.preview, models=cast("Backbones", ready), prior=prior, start=start)
            return guide.suggest()

    def accept(self, index: int, owner: str) -> None:
        """Keeps the mask as it is now, at the image's own size; see `Project.accept`."""
        opened = self.get(index, owner)
        edit = opened.edit
        before = np.unpackbits(opened.before, count=math.prod(opened.full_size)).reshape(opened.full_size).astype(bool)
        mask = edit.full_mask(opened.full_size, before)
        self.project.accept(index, self.pixels.get(index), mask, edit.count("click"), edit.count("stroke"))
        with self._lock:
            self._open.pop(index, None)

    def drop(self, index: int) -> None:
        """Forgets an image's steps: a run or another window gave it a new mask."""
        with self._lock:
            self._open.pop(index, None)

    def drop_unchanged(self) -> None:
        """Forgets all images without steps, so that they are opened with the masks of the latest run."""
        with self._lock:
            for index in [index for index, one in self._open.items() if not one.edit.steps]:
                self._open.pop(index)

    def _begin(self, index: int, owner: str) -> Opened:
        """Reads an image and its mask."""
        image = self.pixels.get(index)
        size = (image.shape[0], image.shape[1])
        before = np.zeros(size, dtype=bool)
        path = mask_path(self.project.output, self.project.entry(index).sample)
        if path.is_file():
            with contextlib.suppress(GpoaError):  # a damaged mask, or one of another size: begin with none
                before = load_mask(path, size, allow_empty=True)
        small = preview_of(image).shape[:2]
        start = before if small == size else enlarge(before, (small[0], small[1]))
        edit = Edit(start, lambda: self._clicker(index))
        return Opened(edit, size, np.packbits(before), owner)

    def _clicker(self, index: int) -> Clicker:
        """What answers clicks on an image; the caller has the models."""
        ready = self._open[index].ready
        if ready is None or not ready.done():
            raise DataError("the image is not ready for clicks yet; try again in a moment")
        kept = ready.result()
        return ClickSession(kept.preview, models=cast("Backbones", kept))

    def _get_ready(self, index: int) -> Ready:
        """Encodes an image."""
        preview = np.ascontiguousarray(preview_of(self.pixels.get(index)))
        with self._engine.for_person() as pipeline:
            return Ready(preview, pipeline.backbones.segmenter, pipeline.backbones.embedding(preview))

    def _forget(self, index: int) -> None:
        """Lets go of what is large; an image without steps goes whole. The caller holds the lock."""
        opened = self._open[index]
        if not opened.edit.steps:
            del self._open[index]
        elif opened.ready is not None and opened.ready.done():
            opened.ready = None
            opened.edit.let_go()


def _is_underway(ready: Future[Ready] | None) -> bool:
    """Whether an image is ready or will be; one that failed is tried again."""
    return ready is not None and not ready.cancelled() and not (ready.done() and ready.exception())


class InUseError(DataError):
    """An image is open in another window."""


def edit_facts(opened: Opened) -> dict[str, Any]:
    """What the page hears of an edit."""
    edit = opened.edit
    return {
        "points": [[round(x, 1), round(y, 1), label] for x, y, label in edit.points],
        "undo": bool(edit.steps),
        "redo": edit.can_redo,
        "empty": not edit.mask.any(),
        "clicks": edit.count("click"),
        "strokes": edit.count("stroke"),
    }


