"""Scalars of a training run: JSON lines and TensorBoard always, Weights & Biases and MLflow where asked for.

Names are `rollout/…`, `train/…` and `eval/…`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from gpoa.errors import ConfigError

TrackerName = Literal["wandb", "mlflow"]


class Tracker(Protocol):
    """Where scalars go besides the run's folder."""

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Takes the scalars of one step."""
        ...

    def close(self) -> None:
        """Sends what is left."""
        ...


class MetricLogger:
    """Writes scalars to `metrics.jsonl`, to TensorBoard event files and to optional trackers.

    Args:
        folder: the run's folder; made where it is missing.
        trackers: names of optional trackers.
        config: the run's resolved config, for the trackers.
        from_step: lines of `metrics.jsonl` beyond this step, left by a run that was cut off, are removed.

    Raises:
        ConfigError: a tracker's package is not installed.
    """

    def __init__(
        self,
        folder: Path,
        trackers: Sequence[TrackerName] = (),
        config: Mapping[str, Any] | None = None,
        from_step: int = 0,
    ) -> None:
        from tensorboardX import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        _forget_beyond(self.path, from_step)
        self._lines = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "events"), purge_step=from_step + 1)
        self._trackers = [TRACKERS[name](folder, dict(config or {})) for name in trackers]

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Writes the scalars of one step.

        Args:
            scalars: name -> value; a value that is not finite is written as null and left out of TensorBoard.
            step: updates done so far.
        """
        finite = {name: float(value) for name, value in scalars.items() if math.isfinite(value)}
        line = {"step": step, **{name: finite.get(name) for name in scalars}}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        for name, value in finite.items():
            self._board.add_scalar(name, value, step)
        for tracker in self._trackers:
            tracker.log(finite, step)

    def close(self) -> None:
        """Closes files and trackers."""
        self._lines.close()
        self._board.close()
        for tracker in self._trackers:
            tracker.close()


class WandbTracker:
    """Weights & Biases; the project is `gpoa`, offline or not as its own environment variables say."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        wandb = _require("wandb")
        self._run = wandb.init(project="gpoa", name=folder.name, dir=str(folder), config=config)

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Takes the scalars of one step."""
        self._run.log(dict(scalars), step=step)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


class MlflowTracker:
    """MLflow; the server is the one its own environment variables name, else local files."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._mlflow = _require("mlflow")
        self._mlflow.set_experiment("gpoa")
        self._mlflow.start_run(run_name=folder.name)
        self._mlflow.log_dict(config, "config.json")

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Takes the scalars of one step."""
        self._mlflow.log_metrics(dict(scalars), step=step)

    def close(self) -> None:
        """Ends the run."""
        self._mlflow.end_run()


TRACKERS: dict[str, Any] = {"wandb": WandbTracker, "mlflow": MlflowTracker}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a last line that was cut off is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _forget_beyond(path: Path, step: int) -> None:
    """Rewrites the file without what a resumed run is about to do again."""
    if path.exists():
        kept = [line for line in read_metrics(path) if line["step"] <= step]
        path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def _require(package: str) -> Any:
    """Imports an optional package.

    Raises:
        ConfigError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"--trackers {package}: not installed; run `pip install gpoa[{package}]`") from error
