"""What several worker processes share: the cores, and what they inherit from the process that starts them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


def threads_each(workers: int) -> int:
    """Threads for each of several processes: an equal part of the cores, or of $OMP_NUM_THREADS where that is set.

    Args:
        workers: how many processes, 1 or more.

    Returns:
        At least 1.
    """
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said) > 0:
        cores = int(said)
    else:
        # The cores that this process may use, where the system says so; os.cpu_count() are those of the machine.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


@contextlib.contextmanager
def inherited(threads: int) -> Iterator[None]:
    """What processes started within inherit: the number of threads, which libraries read when they are loaded; and
    deafness to ctrl-C, which a terminal sends to all, and on which the parent decides.

    Args:
        threads: for each process.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, handler)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
