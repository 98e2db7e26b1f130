"""Measures what other programs on the same cores cost a run, with threads that sleep while they wait and with threads
that spin.

    python scripts/benchmark_busy.py --runs 3 --busy 1

A run segments data/coins on the CPU without optimisation and without a cache, once on the machine as it is ("quiet": it
should be) and once beside `--busy` processes that compute all the time. With b busy processes on c cores and fair
shares a run takes (c + b) / c times as long where all cores are used, and never more than twice as long with b = c;
much more means that waiting threads take the cores from those that work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLICIES = {
    "sleeping (gpoa's default)": {},
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE", "OPENBLAS_THREAD_TIMEOUT": "26"},
}
SPIN = "while True: pass"


def main() -> None:
    """Prints one row for each way to wait."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs of each kind; the median is printed")
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1, help="busy processes; default: one per core")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "coins", help="a project folder")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, {args.busy} busy processes, load {os.getloadavg()[0]:.1f} before the start")
    print(f"{'waiting threads are':28}{'quiet':>10}{'busy':>10}{'ratio':>8}")
    for name, environment in POLICIES.items():
        quiet = statistics.median(seconds_of_run(args.data, environment) for _ in range(args.runs))
        with busy_processes(args.busy):
            busy = statistics.median(seconds_of_run(args.data, environment) for _ in range(args.runs))
        print(f"{name:28}{quiet:8.1f} s{busy:8.1f} s{busy / quiet:8.1f}", flush=True)


def seconds_of_run(data: Path, environment: dict[str, str]) -> float:
    """Seconds that the images of one run take, loading of the models apart.

    Args:
        data: holds reference_image/, reference_mask/, target_image/.
        environment: variables that are set for the run.
    """
    reference, mask = (next((data / name).iterdir()) for name in ("reference_image", "reference_mask"))
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "gpoa", "run", "--reference", str(reference), "--mask", str(mask)]
        command += ["--targets", str(data / "target_image"), "--output", output, "--strategy", "none"]
        command += ["--cache.off", "--models.device", "cpu"]
        subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, cwd=ROOT)
        return json.loads((Path(output) / "run.json").read_text(encoding="utf-8"))["seconds"]


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Has processes keep cores busy inside."""
    busy = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
