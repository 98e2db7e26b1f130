"""Measures whole commands: `gpoa run` on 20 rendered images of 640 x 480 with cold and with warm caches, by one process
and by two, and start-up times.

    python scripts/benchmark_speed.py

The models must be there (`gpoa models fetch`). Peak memory is the largest resident set of one process. The last column
of a row with two processes is its time over that of one process in the same run.
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
REDUCED = ["--models.precision", "bfloat16", "--models.encoder-precision", "bfloat16"]
SCRIPTS = Path(__file__).resolve().parent


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Wall seconds of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure_runs(gpoa: list[str], folder: Path) -> None:
    """Prints a row for each way to run over the same images.

    Args:
        gpoa: the command.
        folder: empty; receives the images, the caches and what the runs write.
    """
    render = [sys.executable, str(SCRIPTS / "render_bubbles.py"), "--output", str(folder), "--targets", str(IMAGES)]
    timed(render, dict(os.environ))
    run = [*gpoa, "run", "--reference", str(folder / "reference_image" / "bubbles.png")]
    run += ["--mask", str(folder / "reference_mask" / "bubbles.png"), "--targets", str(folder / "target_image")]
    alone: dict[str, float] = {}
    for processes in (1, 2):
        # A cache for each, so that both begin with an empty one.
        environment = {**os.environ, "GPOA_CACHE": str(folder / f"cache-{processes}")}
        for title, flags in (
            ("cold cache", []),
            ("embeddings cached", []),
            ("cached, --strategy none (1 call)", ["--strategy", "none"]),
            ("cold cache, all in bfloat16", REDUCED),  # embeddings of another type are cached under another name
            ("cached, all in bfloat16", REDUCED),
        ):
            output = folder / f"{processes} {title}"
            flags = [*flags, "--processes", str(processes)]
            seconds = timed([*run, "--output", str(output), *flags], environment)
            ratio = f"{seconds / alone[title]:.2f}" if title in alone else ""
            alone.setdefault(title, seconds)
            what = f"gpoa run, {IMAGES} images, {title}" + (f", --processes {processes}" if processes > 1 else "")
            print(f"| {what} | {seconds:.1f} | {seconds / IMAGES:.2f} | {ratio} |", flush=True)


def main() -> int:
    """Measures and prints a table; returns the exit status."""
    gpoa = [sys.executable, "-m", "gpoa"]
    print("| what | seconds | an image | over one process |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        measure_runs(gpoa, Path(name))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20)
    for title, command in (
        ("python -c 'import gpoa'", [sys.executable, "-c", "import gpoa"]),
        ("python -c 'pass'", [sys.executable, "-c", "pass"]),
        ("gpoa -h", [*gpoa, "-h"]),
        ("gpoa run -h", [*gpoa, "run", "-h"]),
    ):
        middle = statistics.median(timed(command, dict(os.environ)) for _ in range(REPEATS))
        print(f"| {title} | {middle:.2f} | | |")
    print(f"\npeak memory {peak:.2f} GiB (Linux), {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
