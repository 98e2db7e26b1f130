"""A folder that grows: images are segmented as they arrive, one after another, into the same files as `run_folder`'s.

A file has arrived when two looks in a row find it with the same size and time of change, so that one that is still
being written waits. Every file of the output appears whole or not at all, and what an earlier run finished is kept: the
watch can be ended and begun again at any moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpoa.datasets.pages import expand_pages
from gpoa.datasets.targets import find_targets
from gpoa.errors import DataError
from gpoa.pipeline.closing import close_run
from gpoa.pipeline.folder import Share, start_run, work_through
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.outputs import check_apart, prepare_folder
from gpoa.pipeline.progress import Item, Report
from gpoa.types import Sample

logger = logging.getLogger(__name__)

OLD_SECONDS = 2.0
"""A file that was changed longer ago than this is complete at the first look."""


@dataclass(frozen=True)
class Watched:
    """What is watched, and how.

    Args:
        folder: where images arrive.
        output: receives what `gpoa.pipeline.folder` lists; the contact sheet and `run.json` at the end.
        recursive: images of subfolders count.
        examples: references and masks, which are no targets.
        every: seconds between two looks.
    """

    folder: Path
    output: Path
    recursive: bool = False
    examples: Sequence[Path] = ()
    every: float = 0.5


@dataclass
class _File:
    """What is known of a file.

    Args:
        state: (size, time of change in ns) at the last look.
        since: when it was first seen in this state, by the monotonic clock.
        done: it was segmented, or failed, in this state.
    """

    state: tuple[int, int]
    since: float
    done: bool = False


def watch(
    segmenter: ImagePipeline,
    watched: Watched,
    tell: Callable[[Item, float], None] = lambda item, latency: None,
    go_on: Callable[[Report], bool] = lambda report: True,
    command: str = "",
) -> Report:
    """Segments images as they arrive, until it is told to stop.

    Args:
        segmenter: fitted.
        watched: the folders.
        tell: is handed each image's outcome, and the seconds from when it was first seen to when its mask was there.
        go_on: asked after each look; ctrl-C, SIGTERM and SIGHUP end the watch, too.
        command: recorded in `run.json`.

    Returns:
        What became of each image; `interrupted` is never set, since a watch is ended so.

    Raises:
        DataError: the folder does not exist at the beginning, or the output cannot be written.
    """
    if not watched.folder.is_dir():
        raise DataError(f"{watched.folder}: no such folder; make it first, images may arrive later")
    prepare_folder(watched.output)
    facts = start_run(segmenter, watched.output, keep_reference=False)
    files: dict[Path, _File] = {}
    items: dict[str, Item] = {}
    samples: list[Sample] = []
    start = time.perf_counter()
    report = Report(total=0)
    try:
        while go_on(report):
            samples = _look(segmenter, watched) or samples
            done = _segment(segmenter, _arrived(samples, files), watched, files, tell)
            items |= {item.stem: item for item in done.items}
            report = Report(len(samples), list(items.values()), seconds=time.perf_counter() - start)
            if done.interrupted or done.is_disk_full:
                break
            time.sleep(0 if done.items else watched.every)
    except KeyboardInterrupt:
        pass
    close_run(watched.output, samples, report, None, segmenter.shots, {"command": command, **facts})
    segmenter.backbones.cache.trim()
    return report


def _look(segmenter: ImagePipeline, watched: Watched) -> list[Sample]:
    """The images that are in the folder now; none while it is empty or out of reach."""
    try:
        found = find_targets(watched.folder, watched.recursive, watched.examples).samples
        samples = expand_pages(found, segmenter.config.reading)
    except (DataError, OSError) as error:
        logger.debug("%s", error)
        return []
    check_apart(samples, watched.output)
    return samples


def _arrived(samples: Sequence[Sample], files: dict[Path, _File]) -> list[Sample]:
    """The images whose file is complete and was not segmented yet in this state; takes note of all files."""
    ready, looked = [], {}
    for sample in samples:
        path = sample.image_path
        if path not in looked:
            looked[path] = _is_complete(path, files)
        if looked[path] and not files[path].done:
            ready.append(sample)
    return ready


def _is_complete(path: Path, files: dict[Path, _File]) -> bool:
    """Whether a file is no longer being written."""
    try:
        stat = path.stat()
    except OSError:  # gone since it was listed
        return False
    state, known = (stat.st_size, stat.st_mtime_ns), files.get(path)
    if known is not None and known.state == state:
        return stat.st_size > 0
    files[path] = _File(state, time.monotonic())
    return stat.st_size > 0 and time.time() - stat.st_mtime > OLD_SECONDS


def _segment(
    segmenter: ImagePipeline,
    samples: Sequence[Sample],
    watched: Watched,
    files: dict[Path, _File],
    tell: Callable[[Item, float], None],
) -> Report:
    """Segments what has arrived."""
    if not samples:
        return Report(total=0)
    paths = {sample.stem: sample.image_path for sample in samples}

    def done(item: Item) -> None:
        file = files[paths[item.stem]]
        file.done = True
        tell(item, time.monotonic() - file.since)

    return work_through(segmenter, samples, Share(samples, title=None, tell=done), watched.output)
