"""Sets gpoa up and runs its tests: `python3 scripts/run_tests.py [pytest arguments]`.

One test process a core (four at most), each with one thread: two such processes are faster than one with two threads.
A test that hangs is ended after ten minutes, by name. `-n 0` runs all tests in one process.
"""

from __future__ import annotations

import os
import sys

from environment import ensure_environment, run

MOST = 4
"""Test processes; each holds up to 1.5 GB."""
OPTIONS = ("--dist", "loadfile", "--timeout", "600", "--durations", "25")

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    processes = min(MOST, os.cpu_count() or 1)
    sys.exit(run([ensure_environment("test"), "-m", "pytest", "-n", str(processes), *OPTIONS, *sys.argv[1:]]))
