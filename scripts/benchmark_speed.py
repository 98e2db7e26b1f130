"""Measures whole processes: `gpoa run` on 20 rendered images of 640 x 480 with cold and with warm caches, and start-up times.

    python scripts/benchmark_speed.py

The models must be there (`gpoa models fetch`). Peak memory is the largest resident set of one process.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGES = 20
REPEATS = 5
SCRIPTS = Path(__file__).resolve().parent


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Wall seconds of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    """Measures and prints a table; returns the exit status."""
    gpoa = [sys.executable, "-m", "gpoa"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "GPOA_CACHE": str(folder / "cache")}
        render = [sys.executable, str(SCRIPTS / "render_bubbles.py"), "--output", str(folder), "--targets", str(IMAGES)]
        timed(render, environment)
        run = [*gpoa, "run", "--reference", str(folder / "reference_image" / "bubbles.png")]
        run += ["--mask", str(folder / "reference_mask" / "bubbles.png"), "--targets", str(folder / "target_image")]
        print("| what | seconds | an image |\n|---|---|---|")
        for title, output in (("cold cache", "a"), ("embeddings cached", "b")):
            seconds = timed([*run, "--output", str(folder / output)], environment)
            print(f"| gpoa run, {IMAGES} images, {title} | {seconds:.1f} | {seconds / IMAGES:.2f} |", flush=True)
        seconds = timed([*run, "--output", str(folder / "c"), "--strategy", "none"], environment)
        print(f"| the same, cached, --strategy none (1 call) | {seconds:.1f} | {seconds / IMAGES:.2f} |")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20)
    for title, command in (
        ("python -c 'import gpoa'", [sys.executable, "-c", "import gpoa"]),
        ("python -c 'pass'", [sys.executable, "-c", "pass"]),
        ("gpoa -h", [*gpoa, "-h"]),
        ("gpoa run -h", [*gpoa, "run", "-h"]),
    ):
        middle = statistics.median(timed(command, environment) for _ in range(REPEATS))
        print(f"| {title} | {middle:.2f} | |")
    print(f"\npeak memory {peak:.2f} GiB (Linux), {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
