"""The encoders' benchmark, on an encoder of two blocks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark_encoder.py"


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--twins-only", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_row_for_every_way() -> None:
    done = _run("--twins", "tiny", "--batches", "1,2")
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[4:]]
    names = ["library, float32", "ours, float32", "library, bfloat16", "ours, bfloat16"]
    assert [(row[1], row[2]) for row in rows] == [(batch, name) for batch in "12" for name in names]
    errors = [float(row[6]) for row in rows[:4]]
    assert errors[0] == 0 and errors[1] < 1e-5 < errors[3] < 0.1
    assert "threads; torch " in done.stdout


def test_unknown_twin() -> None:
    done = _run("--twins", "vit_x")
    assert done.returncode == 2 and "--twins vit_x: take tiny, vit_b" in done.stderr
