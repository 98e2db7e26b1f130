"""The models behind the page, used by one thread at a time: a person's click goes before the next image of a run."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from gpoa.pipeline.image import ImagePipeline

PATIENCE = 1.0
"""Seconds for which a run waits after a person's latest click: more of them usually follow."""


class Engine:
    """One pipeline, loaded on first use, and who may use it.

    Args:
        build: makes the pipeline.
        patience: see `PATIENCE`.
    """

    def __init__(self, build: Callable[[], ImagePipeline], patience: float = PATIENCE) -> None:
        self._build, self._patience = build, patience
        self._lock = threading.Lock()
        self._pipeline: ImagePipeline | None = None
        self._waiting = 0
        self._count = threading.Lock()
        self._latest = float("-inf")

    @contextlib.contextmanager
    def for_person(self) -> Iterator[ImagePipeline]:
        """The models for a click or a picture that somebody waits for.

        Raises:
            ModelError: they are missing and cannot be fetched.
        """
        with self._count:
            self._waiting += 1
        try:
            with self._lock:
                yield self._loaded()
        finally:
            with self._count:
                self._waiting -= 1
            self._latest = time.monotonic()

    @contextlib.contextmanager
    def for_run(self) -> Iterator[ImagePipeline]:
        """The models for a run, which calls `step_aside` after each image.

        Raises:
            ModelError: they are missing and cannot be fetched.
        """
        self._wait_for_person()
        with self._lock:
            yield self._loaded()

    def step_aside(self, until: Callable[[], bool] = lambda: False) -> None:
        """Lets a person's clicks pass; called by the run, which holds the models.

        Args:
            until: ends the waiting early.
        """
        if not self._is_wanted():
            return
        self._lock.release()
        try:
            self._wait_for_person(until)
        finally:
            self._lock.acquire()

    def _wait_for_person(self, until: Callable[[], bool] = lambda: False) -> None:
        """Returns when nobody has clicked for a while."""
        while self._is_wanted() and not until():
            time.sleep(0.02)

    def _is_wanted(self) -> bool:
        return self._waiting > 0 or time.monotonic() - self._latest < self._patience

    def _loaded(self) -> ImagePipeline:
        """The pipeline; the caller holds the lock."""
        if self._pipeline is None:
            self._pipeline = self._build()
        return self._pipeline
