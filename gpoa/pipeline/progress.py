"""What became of the images of a batch, and the loop over them: one bad image never ends it, ctrl-C loses nothing."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gpoa.errors import DiskFullError, GpoaError, one_line
from gpoa.types import Sample

logger = logging.getLogger(__name__)

LISTED = 5
"""A line of the summary names at most this many images."""
MANY_PARTS = 12
"""A mask of so many parts is probably of many objects."""
NOTED = {"kept": "already there", "absent": "without the object", "failed": "failed"}


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
        disk_full: it failed because nothing can be written any more; no further image is tried.
        parts: in how many parts the prior's mask falls apart.
    """

    stem: str
    status: str = "ok"
    confidence: float | None = None
    choice: str = ""
    doubtful: bool = False
    seconds: float = 0.0
    error: str = ""
    disk_full: bool = False
    parts: int = 0

    @property
    def is_absent(self) -> bool:
        """The object was not found, in this run or in the earlier one that did the image."""
        return self.status == "absent" or (
            self.status == "kept" and self.confidence is not None and self.confidence <= 0
        )

    @property
    def plain(self) -> dict[str, Any]:
        """As `run.json` and `--json` have it."""
        return {name: value for name, value in asdict(self).items() if name not in ("disk_full", "parts")}


@dataclass
class Report:
    """What became of a batch.

    Args:
        items: one for each image that was reached.
        total: images in the batch.
        interrupted: stopped by ctrl-C, SIGTERM or SIGHUP.
        seconds: time spent.
        notes: lines about the whole batch, for people.
        unwritten: files about the whole batch that could not be written: name -> why.
    """

    total: int
    items: list[Item] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    unwritten: dict[str, str] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """How many images have a status."""
        return sum(item.status == status for item in self.items)

    @property
    def is_disk_full(self) -> bool:
        """The batch ended because nothing could be written any more."""
        return any(item.disk_full for item in self.items)

    @property
    def exit_code(self) -> int:
        """0 when all was done, 1 when an image failed or a file is missing, 130 after ctrl-C, SIGTERM or SIGHUP."""
        return 130 if self.interrupted else int(self.count("failed") > 0 or bool(self.unwritten))

    def summary(self) -> str:
        """One line for people."""
        done = [f"{self.count('ok')} segmented"]
        done += [f"{self.count(name)} {text}" for name, text in NOTED.items() if self.count(name)]
        doubtful = sum(item.doubtful for item in self.items)
        done += [f"{doubtful} doubtful, the object may be absent"] if doubtful else []
        left = self.total - len(self.items)
        why = "interrupted; " if self.interrupted else "the disk is full; " if self.is_disk_full else ""
        done += [f"{left} not reached ({why}run the same command to go on)"] if left else []
        return f"{', '.join(done)} of {self.total} images in {self.seconds:.1f} s"

    def remarks(self) -> list[str]:
        """Lines that follow the summary: which images want a look, and the notes."""
        absent = [item.stem for item in self.items if item.is_absent]
        doubtful = [item.stem for item in self.items if item.doubtful and not item.is_absent]
        lines = [f"without the object: {some(absent)}"] if absent else []
        lines += [f"doubtful: {some(doubtful)}"] if doubtful else []
        many = sorted(item.parts for item in self.items if item.parts >= MANY_PARTS)
        if many and 2 * len(many) >= len(self.items):
            middle = many[len(many) // 2]
            lines.append(f"masks fall apart into many parts ({middle}, say): --instances tells objects apart")
        missing = [f"not written: {name} ({why})" for name, why in self.unwritten.items()]
        if self.is_disk_full and missing:  # the failed image has said why
            missing = [f"not written either: {', '.join(self.unwritten)}"]
        return [*lines, *self.notes, *missing]


def some(names: Sequence[str], limit: int = LISTED) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


class Progress:
    """A report that grows, and its progress bar.

    Args:
        total: images in the batch.
        title: the bar's label; None shows no bar.
    """

    def __init__(self, total: int, title: str | None) -> None:
        self.report, self._began = Report(total=total), time.perf_counter()
        self._bar = None
        if title is not None:  # a bar holds a semaphore, of which a worker that is killed would leave a warning behind
            from tqdm import tqdm

            # disable=None: off where standard error is not a terminal.
            self._bar = tqdm(total=total, desc=title, unit="image", disable=None)

    def begin(self) -> None:
        """Starts the clock again: what was before was no work on images."""
        self._began = time.perf_counter()
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.reset()

    def add(self, item: Item) -> None:
        """Counts one image."""
        self.report.items.append(item)
        if self._bar is None:
            return
        with contextlib.suppress(OSError):  # the terminal is closed: the work goes on
            if item.status == "failed":
                self._bar.set_postfix(failed=self.report.count("failed"))
            self._bar.update()

    def close(self) -> Report:
        """Ends the bar; returns the report."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()
        self.report.seconds = time.perf_counter() - self._began
        return self.report


def process(
    samples: Iterable[Sample],
    work: Callable[[Sample], Item],
    title: str | None,
    total: int,
    tell: Callable[[Item], None] = lambda item: None,
    notes: Sequence[str] = (),
) -> Report:
    """Runs a stage over images with one progress bar, and goes on after an image that fails, unless the disk is full.

    Args:
        samples: the images.
        work: handles one image.
        title: the progress bar's label; None shows no bar.
        total: how many images there are.
        tell: is handed each item; what it raises ends the batch.
        notes: lines about the whole batch, for the report.

    Returns:
        What became of each image.
    """
    progress = Progress(total, title)
    progress.report.notes += notes
    try:
        for sample in samples:
            start = time.perf_counter()
            item = _attempt(work, sample)
            item = replace(item, seconds=round(time.perf_counter() - start, 4))
            progress.add(item)
            tell(item)
            if item.disk_full:
                break
    except KeyboardInterrupt:
        progress.report.interrupted = True
    finally:
        report = progress.close()
    return report


def _attempt(work: Callable[[Sample], Item], sample: Sample) -> Item:
    """The outcome of one image; an error becomes a failed item."""
    try:
        return work(sample)
    except DiskFullError as error:
        return Item(sample.stem, "failed", error=one_line(error), disk_full=True)
    except (GpoaError, OSError) as error:
        return Item(sample.stem, "failed", error=one_line(error))
    except Exception as error:  # one bad image never ends a batch; -v shows where it came from
        logger.debug("unexpected error on %s", sample.image_path, exc_info=True)
        return Item(sample.stem, "failed", error=f"{type(error).__name__}: {one_line(error)}")
