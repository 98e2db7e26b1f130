"""`gpoa.pipeline.folder.run_folder` by several processes: more cores than one process keeps busy, or several GPUs.

    parent --Job--> workers          each in a fresh interpreter, with models of its own
    parent <--_Ready-- worker        models are loaded, the reference is learned; the first one before the others begin
    parent --Sample--> worker        a few at a time, so that nobody waits for the slowest
    parent <--Item-- worker

The workers write every image's files into the same folder. The parent counts, hands the images of a worker that died to
the others, and writes what needs all images.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from gpoa.config import GpoaConfig, to_dict
from gpoa.datasets.options import NO_OPTIONS, CocoFile, MaskOptions
from gpoa.datasets.shots import load_shot, zip_shots
from gpoa.errors import ConfigError, GpoaError, ModelError, one_line
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.folder import Share, close_run, start_run, work_through
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.outputs import check_apart, prepare_folder
from gpoa.pipeline.progress import Item, Progress, Report
from gpoa.runtime.prefetch import plan_for
from gpoa.runtime.processes import inherited, threads_each
from gpoa.runtime.signals import ENDING
from gpoa.types import Sample

logger = logging.getLogger(__name__)

GRACE = 4.0
"""Seconds that a worker has to end after it was told to."""
STOP = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""The parent's word to a worker to end at once. Not SIGTERM, SIGHUP or SIGINT: batch systems, service managers and
terminals send these to every process of a run, and the parent alone decides.
"""


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be done, as every worker gets it.

    Args:
        config: every choice but the device.
        cache: the embedding cache; workers share its folder.
        references: image files of the labelled examples.
        masks: their masks.
        samples: all images.
        output: receives what `gpoa.pipeline.folder` lists.
        trace: as in `run_folder`.
        mask_options: what the object is, where the masks' values do not say so.
        notes: lines about the targets, for the report.
        keep_reference: as in `run_folder`.
        build: makes the segmenter; a function or class of a module, so that a fresh interpreter finds it.
    """

    config: GpoaConfig
    cache: EmbeddingCache
    references: Sequence[Path]
    masks: Sequence[Path]
    samples: Sequence[Sample]
    output: Path
    trace: bool = False
    mask_options: MaskOptions = NO_OPTIONS
    notes: Sequence[str] = ()
    keep_reference: bool = False
    build: Callable[[GpoaConfig, EmbeddingCache], ImagePipeline] = ImagePipeline


@dataclass(frozen=True)
class _Ready:
    """A worker's word that it can begin: what `run.json` says of its models, and how many images it wants at hand."""

    facts: dict[str, Any]
    at_hand: int


@dataclass(eq=False)
class _Worker:
    """A process as the parent sees it; `given` are the images that it has not answered yet, the one in work first."""

    name: str
    process: BaseProcess
    channel: Connection
    given: deque[Sample] = field(default_factory=deque)
    at_hand: int = 0
    begun: bool = False


def choose_devices(processes: int, devices: Sequence[str], default: str) -> list[str]:
    """One device for each process.

    Args:
        processes: how many were asked for; 1 is the default and says nothing.
        devices: one a process, or none.
        default: the config's device.

    Returns:
        At least one device name.

    Raises:
        ConfigError: the number is below 1, or the two flags contradict each other.
    """
    if processes < 1:
        raise ConfigError(f"--processes {processes}: at least 1")
    if devices and processes not in (1, len(devices)):
        raise ConfigError(
            f"--processes {processes}, but --devices names {len(devices)}, one process each; leave --processes out, "
            "and name a device as often as processes shall share it"
        )
    return list(devices) or [default] * processes


def run_parallel(
    job: Job, devices: Sequence[str], coco: CocoFile | Path | None = None, command: str = ""
) -> Report:
    """`run_folder` by one process a device; it writes the same files.

    A script that calls this needs `if __name__ == "__main__":` around it, as all that use `multiprocessing` do.

    Args:
        job: what is to be done.
        devices: one a process; no more processes are started than there are images.
        coco: also write all masks as one COCO json file.
        command: recorded in `run.json`.

    Returns:
        What became of each image, in the order of the images. An image whose process died over it has failed; the rest
        of that process's share is done by the others.

    Raises:
        GpoaError: what a worker raised before its first image, or none lived that long.
        KeyboardInterrupt: ctrl-C before the first worker was ready; later, the report says so.
    """
    check_apart(job.samples, job.output)
    prepare_folder(job.output)
    pairs = zip_shots(list(job.references), list(job.masks))
    shots = [load_shot(image, mask, job.mask_options, job.config.reading) for image, mask in pairs]
    used = list(devices)[: len(job.samples)]
    crew = _Crew(job, used)
    report = crew.run()
    order = {sample.stem: place for place, sample in enumerate(job.samples)}
    report.items.sort(key=lambda item: order[item.stem])
    shared = {"config": to_dict(job.config), "device": " ".join(dict.fromkeys(used)), "processes": len(used)}
    report.notes += job.notes
    close_run(job.output, job.samples, report, coco, shots, {"command": command, **crew.facts, **shared})
    job.cache.trim()
    return report


class _Crew:
    """The workers, and what the parent does with their messages.

    Args:
        job: what is to be done.
        devices: one a worker.
    """

    def __init__(self, job: Job, devices: Sequence[str]) -> None:
        self.job, self.devices = job, devices
        self.facts: dict[str, Any] = {}
        self._waiting = deque(job.samples)
        self._workers: list[_Worker] = []
        self._progress = Progress(len(job.samples), "gpoa run")

    def run(self) -> Report:
        """Hands out all images; ctrl-C ends every worker.

        Raises:
            GpoaError, KeyboardInterrupt: see `run_parallel`.
        """
        report, done = self._progress.report, False
        try:
            self._start()
            while self._workers and len(report.items) < report.total and not report.is_disk_full:
                for channel in wait([worker.channel for worker in self._workers]):
                    self._serve(next(worker for worker in self._workers if worker.channel is channel))
            done = not report.is_disk_full
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            self._end(at_once=not done)
            self._progress.close()
        if self.facts:
            return report
        if report.interrupted:
            raise KeyboardInterrupt
        raise GpoaError("no worker process lived to its first image; run with --processes 1 to see more")

    def _start(self) -> None:
        """Starts the workers; the first one may begin, the others get ready meanwhile."""
        context, level = get_context("spawn"), logging.getLogger().getEffectiveLevel()
        count = len(self.devices)
        threads = threads_each(count)
        with inherited(threads):
            for number, device in enumerate(self.devices):
                mine, theirs = context.Pipe()
                arguments = (self.job, device, number / count, threads, level, theirs)
                process = context.Process(target=_work, args=arguments, name=f"gpoa-{number + 1}", daemon=True)
                process.start()
                theirs.close()  # so that the channel ends when the worker does
                name = f"worker process {number + 1} of {count} on {device}"
                self._workers.append(_Worker(name, process, mine))
        self._begin(self._workers[:1])

    def _serve(self, worker: _Worker) -> None:
        """Takes one message, or the news of a worker's death."""
        try:
            message = worker.channel.recv()
        except (EOFError, OSError):
            self._lost(worker)
            return
        if isinstance(message, GpoaError):
            raise message
        if isinstance(message, _Ready):
            fair = -(-len(self.job.samples) // len(self.devices))  # or the first one takes a short list whole
            worker.at_hand = min(message.at_hand, fair)
            if not self.facts:
                self.facts = message.facts
                self._progress.begin()
                self._begin(self._workers)
        else:
            worker.given.popleft()
            self._progress.add(message)
        self._deal()

    def _begin(self, workers: Sequence[_Worker]) -> None:
        """Lets workers load their models; the first goes alone, for it may have to fetch them, and tells warnings."""
        for worker in workers:
            if not worker.begun:
                worker.begun = True
                self._send(worker, "begin")

    def _deal(self) -> None:
        """Gives every worker the images that it wants at hand."""
        for worker in self._workers:
            while self._waiting and len(worker.given) < worker.at_hand:
                worker.given.append(self._waiting.popleft())
                self._send(worker, worker.given[-1])

    def _lost(self, worker: _Worker) -> None:
        """Counts the image over which a worker died as failed, and gives its other images to the rest."""
        self._workers.remove(worker)
        how = _ending(worker.process)
        if worker.given:
            error = f"{worker.name} died over it ({how})"
            self._progress.add(Item(worker.given.popleft().stem, "failed", error=error))
        else:
            logger.warning("%s died (%s)%s", worker.name, how, "; the others go on" if self._workers else "")
        self._waiting.extendleft(reversed(worker.given))
        if not self.facts:
            self._begin(self._workers)
        self._deal()

    def _end(self, at_once: bool) -> None:
        """Ends the workers and counts what they did until then; one that does not end in time is killed."""
        for worker in self._workers:
            if at_once:
                _interrupt(worker.process)
            else:
                self._send(worker, None)
        until = time.monotonic() + GRACE
        try:
            for worker in self._workers:
                worker.process.join(max(0.0, until - time.monotonic()))
                self._count_rest(worker)
        finally:
            for worker in self._workers:
                if worker.process.is_alive():
                    worker.process.kill()
                worker.channel.close()

    def _count_rest(self, worker: _Worker) -> None:
        """Takes the messages that nobody read."""
        with contextlib.suppress(EOFError, OSError):
            while worker.channel.poll():
                message = worker.channel.recv()
                if isinstance(message, Item):
                    self._progress.add(message)

    @staticmethod
    def _send(worker: _Worker, message: Any) -> None:
        """Sends a message; a dead worker is noticed where its answer is read."""
        with contextlib.suppress(OSError):
            worker.channel.send(message)


def _interrupt(process: BaseProcess) -> None:
    """Raises KeyboardInterrupt in a worker."""
    if STOP == signal.SIGTERM:
        process.terminate()
    elif process.pid is not None and process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, STOP)


def _ending(process: BaseProcess) -> str:
    """How a process ended, in words."""
    process.join(GRACE)
    code = process.exitcode
    if code is None:
        process.kill()
        return "it closed its channel"
    if code >= 0:
        return f"exit status {code}"
    name = signal.Signals(-code).name
    return f"{name}; out of memory?" if name == "SIGKILL" else name


def _work(job: Job, device: str, part: float, threads: int, level: int, channel: Connection) -> None:
    """The life of a worker.

    Args:
        job: what is to be done.
        device: where its models run.
        part: where it begins to learn from the folder, from 0 to 1; 0 is the first worker.
        threads: for torch.
        level: of the log.
        channel: to the parent.
    """
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(STOP, signal.default_int_handler)
    logging.basicConfig(level=level, format="gpoa: %(message)s")
    warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)
    try:
        segmenter = _ready(job, device, threads, channel, quiet=part > 0)
        if segmenter is not None:
            share = Share(iter(channel.recv, None), channel.poll, channel.send, None, part)
            work_through(segmenter, job.samples, share, job.output, job.trace)
    except (KeyboardInterrupt, EOFError, ConnectionError):
        pass  # told to stop, or the parent is gone
    finally:
        signal.signal(STOP, signal.SIG_DFL)  # nothing is half done, and nobody would catch it


def _ready(job: Job, device: str, threads: int, channel: Connection, quiet: bool) -> ImagePipeline | None:
    """Loads the models and learns the reference, and says so; None where that failed, which the parent is told."""
    import torch

    torch.set_num_threads(threads)
    channel.recv()
    config = replace(job.config, models=replace(job.config.models, device=device))
    logging.disable(logging.WARNING if quiet else logging.NOTSET)  # the first worker has told the same
    try:
        segmenter = job.build(config, job.cache).fit(job.references, job.masks, job.mask_options)
        facts = start_run(segmenter, job.output, job.keep_reference)
    except GpoaError as error:
        channel.send(error)
        return None
    except Exception as error:
        logger.debug("unexpected error on %s", device, exc_info=True)
        channel.send(ModelError(f"device {device}: a worker cannot begin ({type(error).__name__}: {one_line(error)})"))
        return None
    logging.disable(logging.NOTSET)
    backbones = segmenter.backbones
    plan = plan_for(backbones.device, backbones.ahead)
    channel.send(_Ready(facts, (plan.groups + 1) * plan.together))
    return segmenter
