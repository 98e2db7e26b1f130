"""One run over the folder, beside the page: progress, remaining time, cancelling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpoa.app.engine import Engine
from gpoa.app.project import ACCEPTED, Project
from gpoa.datasets.mask_io import load_mask
from gpoa.datasets.pages import load_sample
from gpoa.errors import GpoaError, one_line
from gpoa.pipeline.closing import close_run
from gpoa.pipeline.folder import Share, start_run, work_through
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.outputs import mask_path, overlay_path, save_picture
from gpoa.pipeline.progress import Item, Report
from gpoa.types import Sample
from gpoa.viewer.overlays import draw_overlay

REMEMBERED = 8
"""The remaining time is reckoned from so many of the latest images."""


class RunJob:
    """Segments all images that have no accepted mask, learning from those that have one.

    Args:
        project: gets the masks.
        engine: the models.
        ended: called when all is over.

    Attributes:
        state: waiting, learning, running, closing, done, cancelled, failed.
        report: what became of the images, when all is over.
    """

    def __init__(self, project: Project, engine: Engine, ended: Callable[[], None] = lambda: None) -> None:
        self.project, self._engine, self._ended = project, engine, ended
        self.state, self.error = "waiting", ""
        self.report: Report | None = None
        self._cancel = threading.Event()
        pairs = project.references()
        self._references = [(project.entries[index].sample, path) for index, path in pairs]
        accepted = project.accepted()
        self._order = max(one.order for _, one in accepted)
        left_out = {index for index, _ in accepted}
        self.samples = [one.sample for i, one in enumerate(project.entries) if i not in left_out]
        self.done, self.failed = 0, 0
        self._spent: list[float] = []
        self._thread = threading.Thread(target=self._run, name="gpoa-run", daemon=True)

    def start(self) -> RunJob:
        """Begins."""
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ends after the image that is worked on now; masks that are made are kept."""
        self._cancel.set()

    def join(self, timeout: float | None = None) -> None:
        """Waits for the end."""
        self._thread.join(timeout)

    @property
    def is_over(self) -> bool:
        """Whether nothing is done any more."""
        return self.state in ("done", "cancelled", "failed")

    def plain(self) -> dict[str, Any]:
        """As the page gets it."""
        made: dict[str, Any] = {"state": self.state, "done": self.done, "total": len(self.samples)}
        made |= {"failed": self.failed, "references": len(self._references), "cancelling": self._cancel.is_set()}
        if self.state == "running" and self._spent:
            left = (len(self.samples) - self.done) * sum(self._spent) / len(self._spent)
            made["left"] = round(left, 1)
        if self.error:
            made["error"] = self.error
        if self.report is not None:
            made["seconds"], made["notes"] = round(self.report.seconds, 1), self.report.remarks()
        return made

    def _run(self) -> None:
        """The thread's work; whatever goes wrong is told, not lost."""
        try:
            with self._engine.for_run() as pipeline:
                self._segment(pipeline)
            assert self.report is not None
            self.state = "cancelled" if self.report.interrupted else "done"
        except GpoaError as error:
            self.state, self.error = "failed", one_line(error)
        except Exception as error:
            self.state, self.error = "failed", f"{type(error).__name__}: {one_line(error)}"
        finally:
            self._ended()

    def _segment(self, pipeline: ImagePipeline) -> None:
        """Fits, segments, and closes the run as `gpoa run` does."""
        project, output = self.project, self.project.output
        self.state = "learning"
        pipeline.fit([load_sample(sample, project.reading) for sample, _ in self._references], self._masks())
        facts = start_run(pipeline, output, keep_reference=False)
        self._engine.step_aside(self._cancel.is_set)
        self.state = "running"
        if self._cancel.is_set():
            self.report = Report(len(self.samples), interrupted=True)
            return
        share = Share(self._open_samples(), tell=self._tell, title=None)
        report = work_through(pipeline, self.samples, share, output)
        self.state = "closing"
        everything = [one.sample for one in project.entries]
        whole = replace(report, items=[*report.items, *self._accepted_items()], total=len(everything))
        close_run(output, everything, whole, None, pipeline.shots, {"command": project.command(), **facts})
        pipeline.backbones.cache.trim()
        if not report.interrupted:
            project.note_learned(self._order)
        self.report = replace(report, notes=whole.notes, unwritten=whole.unwritten)

    def _open_samples(self) -> Iterator[Sample]:
        """The images to segment, without those that a person accepts meanwhile."""
        for sample in self.samples:
            if self.project.entries[self.project.by_stem[sample.stem]].accepted is None:
                yield sample
            else:
                self.done += 1

    def _masks(self) -> list[Any]:
        """The references' masks: [H, W] bool each."""
        return [load_mask(path) for _, path in self._references]

    def _tell(self, item: Item) -> None:
        """Hears of one image; lets a person pass, or ends the run."""
        self.project.note(item)
        self.done += 1
        self.failed += item.status == "failed"
        if item.status != "kept":
            self._spent = [*self._spent, item.seconds][-REMEMBERED:]
        self._engine.step_aside(self._cancel.is_set)
        if self._cancel.is_set():
            raise KeyboardInterrupt  # which `process` takes as the end of the batch, everything done kept

    def _accepted_items(self) -> list[Item]:
        """The accepted images as items of the run's files, their overlays drawn where they are missing."""
        items = []
        for index, one in self.project.accepted():
            sample = self.project.entries[index].sample
            self._draw(sample)
            items.append(Item(one.stem, "kept", 0.0 if one.absent else 1.0, ACCEPTED))
        return items

    def _draw(self, sample: Sample) -> None:
        path: Path = overlay_path(self.project.output, sample)
        if path.is_file():
            return
        try:
            image = load_sample(sample, self.project.reading)
            mask = load_mask(mask_path(self.project.output, sample), allow_empty=True)
            save_picture(draw_overlay(image, mask), path)
        except GpoaError:
            return  # the contact sheet says which picture it goes without
