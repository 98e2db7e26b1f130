"""Several processes measure what one does (with the real models, because stand-ins do not reach other processes)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpoa.benchmark.runner import plan_units, read_rows, run_benchmark
from gpoa.config import BenchmarkConfig, GpoaConfig, ModelsConfig
from gpoa.datasets.classes import load_classes
from gpoa.features.cache import EmbeddingCache

pytestmark = pytest.mark.weights
DATA = Path(__file__).resolve().parents[2] / "data"
SAME = ("class", "reference", "image", "method", "iou", "hd95", "calls")


def test_two_processes_equal_one(tmp_path: Path, weights_root: Path):
    config = GpoaConfig(models=ModelsConfig(checkpoints=str(weights_root)))
    bench = BenchmarkConfig(methods=("gpoa-start", "otsu"), references=1, targets=2)
    units = plan_units(load_classes(DATA, ["coins"]), bench)
    found = []
    for workers in (1, 2):
        output = tmp_path / str(workers)
        output.mkdir()
        assert len(list(run_benchmark(units, output, config, EmbeddingCache(tmp_path / "cache"), workers))) == 2
        found.append(sorted([row[name] for name in SAME] for row in read_rows(output / "rows.csv")))
    assert found[0] == found[1] and len(found[0]) == 4
