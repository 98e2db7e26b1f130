"""Signals that ask a process to end, treated as ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""SIGTERM (batch systems, containers) and SIGHUP (a closed terminal), which Windows does not know."""
TOGETHER = 1.0
"""Seconds within which a second signal belongs to the first: service managers send SIGTERM and SIGHUP at once."""


@contextlib.contextmanager
def ending_signals() -> Iterator[None]:
    """Has SIGTERM and SIGHUP raise KeyboardInterrupt inside, as ctrl-C does; only in the main thread.

    A signal that is ignored (`nohup`) or that the program has an answer of its own to stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    latest = float("-inf")

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal latest
        before, latest = latest, time.monotonic()
        if latest - before > TOGETHER:
            raise KeyboardInterrupt

    taken = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
