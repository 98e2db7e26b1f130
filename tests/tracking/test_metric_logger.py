"""Scalars on disk."""

from __future__ import annotations

import json
import math
import sys
import types
from pathlib import Path

import pytest

from gpoa.errors import ConfigError
from gpoa.tracking.metric_logger import MetricLogger, read_metrics


def test_lines_and_events(tmp_path: Path):
    logger = MetricLogger(tmp_path)
    logger.log({"train/loss": 1.5, "eval/iou": math.nan}, 1)
    logger.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "train/loss": 1.5, "eval/iou": None}]
    assert list((tmp_path / "events").glob("events.out.tfevents.*"))


def test_resumed_run_forgets_what_it_will_do_again(tmp_path: Path):
    first = MetricLogger(tmp_path)
    for step in (1, 2, 3):
        first.log({"a": step}, step)
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "a"')  # killed while writing
    second = MetricLogger(tmp_path, from_step=2)
    second.log({"a": 30}, 3)
    second.close()
    assert [line["a"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 30]


def test_missing_tracker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install gpoa\[wandb\]"):
        MetricLogger(tmp_path, ["wandb"])


def test_trackers_get_the_scalars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list = []
    fake = types.SimpleNamespace(
        set_experiment=lambda name: seen.append(name),
        start_run=lambda run_name: None,
        log_dict=lambda config, name: seen.append(json.dumps(config)),
        log_metrics=lambda scalars, step: seen.append((scalars, step)),
        end_run=lambda: seen.append("end"),
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    logger = MetricLogger(tmp_path, ["mlflow"], {"seed": 1})
    logger.log({"a": 1.0, "b": math.inf}, 7)
    logger.close()
    assert seen == ["gpoa", '{"seed": 1}', ({"a": 1.0}, 7), "end"]
