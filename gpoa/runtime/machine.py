"""What is kept of this machine between runs: where, and which of several ways turned out to be the fastest here."""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gpoa.errors import DataError
from gpoa.runtime.atomic import write_atomic

logger = logging.getLogger(__name__)

GAIN = 1.2
"""How many times faster than the first way another has to be: near a tie a choice would differ from day to day."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's `mallopt` (malloc.h)."""
_ANSWERS: dict[str, str] = {}


def default_cache_folder() -> Path:
    """$GPOA_CACHE, else `gpoa/embeddings` in the user's cache folder."""
    if "GPOA_CACHE" in os.environ:
        return Path(os.environ["GPOA_CACHE"])
    return user_cache_folder() / "gpoa" / "embeddings"


def user_cache_folder() -> Path:
    """$XDG_CACHE_HOME, else `.cache` in the home folder; a process without a home (a container's user that the system
    does not know, HOME unset) gets a folder of its own beside the temporary files.
    """
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"cache-{user}"


def choices_file() -> Path:
    """Where choices are kept: `machine.json` in the cache folder. Deleting it has everything measured again."""
    return default_cache_folder() / "machine.json"


def fastest_way(question: str, ways: Callable[[], Mapping[str, Callable[[], object]]]) -> str:
    """The fastest of several ways, measured at first use and remembered for this processor, thread count and torch.

    Args:
        question: names what is done; together with the machine it is the key.
        ways: makes name -> a call to time, the default first; called only where nothing is remembered.

    Returns:
        The name of a way: the default unless another is `GAIN` times faster.
    """
    key = f"{question}, {_machine()}"
    if key not in _ANSWERS:
        known = _read()
        if key not in known:
            spent = {name: _seconds(call) for name, call in ways().items()}
            known = _read() | {key: _winner(spent)}  # read again: measuring took a while
            logger.info("%s: %s", key, ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in spent.items()))
            try:
                write_atomic(choices_file(), json.dumps(known, indent=1).encode())
            except DataError as error:  # a read-only home: measured again by the next process
                logger.info("%s", error)
        _ANSWERS[key] = known[key]
    return _ANSWERS[key]


def fastest_type(question: str, way: Callable[[str], Callable[[], object]]) -> str:
    """The number type in which a model is the fastest on this CPU (see `fastest_way`).

    Args:
        question: names the model.
        way: from a type to a call to time.

    Returns:
        float32 or, on a CPU with instructions for it, perhaps bfloat16.
    """
    if not has_bfloat16():
        return "float32"
    return fastest_way(question, lambda: {name: way(name) for name in ("float32", "bfloat16")})


@functools.cache
def keep_freed_memory() -> None:
    """Has glibc keep up to 256 MiB of freed memory, and blocks of up to 32 MiB, for what is allocated next.

    By default it hands large blocks back to the system at once, and every activation of the next image is mapped,
    zeroed and faulted in anew: a sixth of the time of SAM's decoder on two cores. Elsewhere (musl, macOS, Windows)
    nothing is done. It holds for the process; only the first call counts.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    import ctypes

    library = ctypes.CDLL(None)
    for parameter, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 256 << 20)):
        library.mallopt(parameter, value)


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them torch is many times slower in it."""
    import torch

    supports = [getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("avx512_bf16", "amx_tile")]
    return any(check() for check in supports)


def _winner(spent: Mapping[str, float]) -> str:
    """The default (the first), or the fastest where that is clearly faster."""
    default, best = next(iter(spent)), min(spent, key=spent.__getitem__)
    return best if spent[default] > GAIN * spent[best] else default


def _seconds(call: Callable[[], object]) -> float:
    """The shortest of three calls after one that does not count."""
    best = float("inf")
    for number in range(4):
        began = time.perf_counter()
        call()
        if number:
            best = min(best, time.perf_counter() - began)
    return best


def _read() -> dict[str, str]:
    """The remembered choices; none where the file is missing or damaged."""
    try:
        values = json.loads(choices_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, str)} if isinstance(values, dict) else {}


def _machine() -> str:
    """Processor, threads and torch: what a choice depends on."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or another architecture: the general name stands
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
