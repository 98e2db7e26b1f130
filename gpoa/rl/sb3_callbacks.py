"""What happens while Stable-Baselines3 trains: its own callbacks, masks of episodes, and its scalars in our files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpoa.config import Sb3Config, Sb3Name
from gpoa.runtime.atomic import write_atomic
from gpoa.tracking.metric_logger import MetricLogger


def make_callbacks(
    folder: Path,
    algorithm: Sb3Name,
    settings: Sb3Config,
    evaluation: Any,
    eval_episodes: int,
    resume: bool,
    progress: Callable[[int], object],
) -> list[Any]:
    """The callbacks of a run.

    Args:
        folder: gets `checkpoints/`, `best/best_model.zip`, `evaluations/` and `train_masks/`.
        algorithm: which one trains.
        settings: how often what is written.
        evaluation: environment of the validation pairs, one after another.
        eval_episodes: how many there are.
        resume: the folder's evaluations are gone on with, so that a worse policy does not replace the best one.
        progress: told the number of steps after each.

    Returns:
        CheckpointCallback, EvalCallback (its maskable kind where that is needed), masks, progress.
    """
    from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback

    evaluate: Any = EvalCallback
    if algorithm == "maskable-ppo":
        from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback

        evaluate = MaskableEvalCallback

    evaluating = evaluate(
        evaluation,
        best_model_save_path=str(folder / "best"),
        log_path=str(folder / "evaluations"),
        eval_freq=settings.eval_every,
        n_eval_episodes=eval_episodes,
        verbose=0,
    )
    if resume:
        remember(evaluating, folder / "evaluations" / "evaluations.npz")
    replay = algorithm == "dqn"
    saving = CheckpointCallback(
        settings.checkpoint_every, str(folder / "checkpoints"), "policy", save_replay_buffer=replay
    )
    return [saving, evaluating, episode_callback(folder, settings, progress)]


def episode_callback(folder: Path, settings: Sb3Config, progress: Callable[[int], object]) -> Any:
    """Logs how episodes start and end, and writes the mask of every so many.

    Args:
        folder: gets `train_masks/`.
        settings: how often a mask is written.
        progress: told the number of steps after each.
    """
    from stable_baselines3.common.callbacks import BaseCallback

    class Episodes(BaseCallback):
        """See above."""

        ended = 0

        def _on_step(self) -> bool:
            for info, done in zip(self.locals["infos"], self.locals["dones"], strict=True):
                if done:
                    self._take(info)
            progress(self.num_timesteps)
            return True

        def _take(self, info: dict[str, Any]) -> None:
            for name in ("start", "final"):
                self.logger.record_mean(f"rollout/{name}", info[name])
            if settings.masks_every and self.ended % settings.masks_every == 0:
                name = f"{self.num_timesteps:08d}_{info['name']}".replace("/", "_")
                write_mask(folder / "train_masks" / f"{name}.png", info["mask"])
            self.ended += 1

    return Episodes()


def remember(callback: Any, path: Path) -> None:
    """Gives an EvalCallback the evaluations of the run that it goes on with.

    Args:
        callback: a new one.
        path: the file that the former one wrote; nothing happens where there is none.
    """
    if not path.is_file():
        return
    with np.load(path, allow_pickle=False) as known:
        callback.evaluations_timesteps = known["timesteps"].tolist()
        callback.evaluations_results = known["results"].tolist()
        callback.evaluations_length = known["ep_lengths"].tolist()
        callback.best_mean_reward = float(known["results"].mean(axis=1).max())


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Writes a mask [h, w] bool as PNG of 0 and 255."""
    content = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(content, "PNG")
    write_atomic(path, content.getvalue())


def make_logger(folder: Path, metrics: MetricLogger) -> Any:
    """Stable-Baselines3's logger, which writes what every training run of ours writes: `metrics.jsonl`, TensorBoard's
    `events/`, and the trackers."""
    from stable_baselines3.common.logger import KVWriter, Logger

    class Writer(KVWriter):
        """Hands numbers on."""

        def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
            numbers = {
                name: float(value)
                for name, value in key_values.items()
                if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
            }
            metrics.log(numbers, step)

        def close(self) -> None:
            """The run closes its metrics itself."""

    return Logger(str(folder), [Writer()])
