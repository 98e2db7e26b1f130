"""How the threads of the number libraries wait for each other."""

from __future__ import annotations

import os

_OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""What a user may have said of waiting threads: to OpenMP in general, to GNU's runtime, to Intel's and LLVM's."""


def wait_without_spinning() -> None:
    """Has waiting threads sleep, where the user has not said otherwise; to be called before torch and NumPy are loaded.

    NumPy, torch and ONNX Runtime take turns, and other programs want the cores, too: a thread that spins while it waits
    takes the core from the one that it waits for. (ONNX Runtime is told with each session; see `onnx_session`.)
    """
    if not any(name in os.environ for name in _OPENMP):
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="0", KMP_BLOCKTIME="0")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles, the least; default: 2^26, some 20 ms
