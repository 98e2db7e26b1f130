"""A run of Stable-Baselines3 in its folder: its own algorithms, callbacks and zip files on our environment.

    classes --pairs--> BubbleEpisodes --> BubblePromptsEnv --> PPO, A2C, DQN, MaskablePPO --> runs/<id>/policy.zip
"""

from __future__ import annotations

import io
import json
import logging
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gpoa import __version__
from gpoa.config import GpoaConfig, Sb3Config, Sb3Name, TrackerName, to_dict
from gpoa.envs.bubble_observation import RANGE
from gpoa.envs.bubble_prompts import BubblePromptsEnv
from gpoa.errors import DataError, ModelError
from gpoa.pipeline.bubble import bubble_contract
from gpoa.policies.sb3_policy import KIND, Sb3Card, Sb3Policy, algorithm_class, plain
from gpoa.policies.scaled_observations import ScaledObservations, fit_scaling
from gpoa.rl.bubble_episodes import BubbleEpisodes
from gpoa.rl.environments import bubble_env
from gpoa.rl.sb3_callbacks import make_callbacks, make_logger
from gpoa.rl.sb3_evaluate import fit_margin
from gpoa.runtime.atomic import write_atomic
from gpoa.tracking.metric_logger import MetricLogger

logger = logging.getLogger(__name__)

SAME_TO_RESUME = ("algorithm", "contract", "net_arch", "horizon", "models")
"""Parts of the card that a run must share with the checkpoint that it goes on from."""


class Sb3Run:
    """A training run.

    Args:
        folder: the run's folder.
        algorithm: a key of `ALGORITHMS`.
        settings: how to train.
        config: the pipeline's choices.
        episodes: opened ones: (training, validation).
        models: names of the weights in use.
        trackers: optional trackers.

    Raises:
        ConfigError: Stable-Baselines3 is not installed.
    """

    def __init__(
        self,
        folder: Path,
        algorithm: Sb3Name,
        settings: Sb3Config,
        config: GpoaConfig,
        episodes: tuple[BubbleEpisodes, BubbleEpisodes],
        models: dict[str, str],
        trackers: Sequence[TrackerName] = (),
    ) -> None:
        self.folder, self.algorithm, self.settings = folder, algorithm, settings
        self.train, self.validation = episodes
        self.trackers = trackers
        self.kind = algorithm_class(algorithm)
        self.plain = {"gpoa": to_dict(config), "sb3": asdict(settings), "algorithm": algorithm}
        training = {
            "gpoa_version": __version__,
            "machine": f"{platform.machine()}, {platform.system()}",
            "settings": asdict(settings),
            "train_classes": list(self.train.by_class),
            "validation_classes": list(self.validation.by_class),
        }
        net_arch = list(settings.net_arch)
        self.card = Sb3Card(
            algorithm, plain(bubble_contract(config)), RANGE, net_arch, settings.horizon, 0.0, models, plain(training)
        )

    def start(self, resume: bool = False, progress: Callable[[int], object] = lambda step: None) -> Path:
        """Trains, then keeps the weights that were best on the validation pairs and fits the margin.

        Args:
            resume: go on from the newest checkpoint in the folder; on-policy algorithms begin a new rollout there, so
                the run is not the same bit for bit.
            progress: told the number of steps that were done.

        Returns:
            `policy.zip`.

        Raises:
            ModelError: there is no checkpoint to go on from, or it was trained with other settings.
            DataError: the folder holds another run, and this one does not go on with it.
        """
        check_folder(self.folder, resume)
        settings = self.settings
        model = self._resumed() if resume else self._new()
        write_atomic(self.folder / "config.json", json.dumps(self.plain, indent=1, default=str).encode())
        metrics = MetricLogger(self.folder, self.trackers, self.plain, from_step=model.num_timesteps)
        model.set_logger(make_logger(self.folder, metrics))
        try:
            left = settings.steps - model.num_timesteps
            if left > 0:
                evaluation = self._env(self.validation.next)
                count = len(self.validation.every())
                callbacks = make_callbacks(self.folder, self.algorithm, settings, evaluation, count, resume, progress)
                model.learn(left, callback=callbacks, reset_num_timesteps=not resume)
            return self._finish(model)
        finally:
            metrics.close()

    def _env(self, draw: Callable[[np.random.Generator], Any]) -> Any:
        """One environment with Stable-Baselines3's monitor around it."""
        from stable_baselines3.common.monitor import Monitor

        return Monitor(bubble_env(draw, self.settings))

    def _new(self) -> Any:
        """A model that has seen nothing but the scaling."""
        settings = self.settings
        net = {"net_arch": list(settings.net_arch), "features_extractor_class": ScaledObservations}
        model = self.kind(
            "MlpPolicy",
            self._env(self.train.draw),
            learning_rate=settings.learning_rate,
            gamma=settings.gamma,
            seed=settings.seed,
            device="cpu",
            policy_kwargs=net,
            **_arguments(self.algorithm, settings),
        )
        rng = np.random.default_rng(settings.seed)
        env = bubble_env(self.train.draw, settings)
        fit_scaling(model.policy, random_observations(env, settings.scaling_steps, rng))
        model.gpoa_card = {"kind": KIND, **asdict(self.card)}
        return model

    def _resumed(self) -> Any:
        """The newest checkpoint of the folder."""
        path = newest_checkpoint(self.folder)
        model = self.kind.load(path, env=self._env(self.train.draw), device="cpu")
        known, own = getattr(model, "gpoa_card", {}), asdict(self.card)
        wrong = [name for name in SAME_TO_RESUME if known.get(name) != own[name]]
        if wrong:
            what = f"was trained with other settings ({', '.join(wrong)} differ)"
            raise ModelError(f"{path}: {what}; choose another --output, or the same settings")
        model.gpoa_card = {"kind": KIND, **own}
        replay = path.with_name(path.stem.replace("policy_", "policy_replay_buffer_") + ".pkl")
        if replay.is_file():
            model.load_replay_buffer(replay)
        return model

    def _finish(self, model: Any) -> Path:
        """Writes `policy.zip`."""
        best = self.folder / "best" / "best_model.zip"
        if best.is_file():
            model.set_parameters(best, device="cpu")
        model.policy.set_training_mode(False)
        policy = Sb3Policy(model.policy, self.card)
        margin = fit_margin(policy, self.train.by_class, self.settings.horizon + 1)
        model.gpoa_card = {"kind": KIND, **asdict(self.card), "margin": margin}
        content = io.BytesIO()
        model.save(content)
        write_atomic(self.folder / "policy.zip", content.getvalue())
        return self.folder / "policy.zip"


def check_folder(folder: Path, resume: bool) -> None:
    """Whether a run may use a folder.

    Raises:
        ModelError: it shall go on with the run there, and there is no checkpoint.
        DataError: it shall not, and there is a run.
    """
    if resume:
        newest_checkpoint(folder)
    elif any((folder / name).exists() for name in ("policy.zip", "best", "checkpoints")):
        raise DataError(f"{folder}: holds another run; add --resume to go on with it, or choose another --output")


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint with the most steps.

    Raises:
        ModelError: there is none.
    """
    found = {}
    for path in (folder / "checkpoints").glob("policy_*_steps.zip"):
        steps = re.fullmatch(r"policy_(\d+)_steps", path.stem)
        if steps:
            found[int(steps[1])] = path
    if not found:
        raise ModelError(f"--resume: {folder / 'checkpoints'} holds no policy_*_steps.zip; run without --resume")
    return found[max(found)]


def random_observations(env: BubblePromptsEnv, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, 72] float32 of states that random legal actions lead to."""
    seen: list[np.ndarray] = []
    ended = True
    while len(seen) < count:
        if ended:
            observation, ended = env.reset(seed=int(rng.integers(1 << 31)))[0], False
        else:
            action = int(rng.choice(np.flatnonzero(env.action_masks())))
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
        seen.append(observation)
    return np.array(seen, dtype=np.float32)


def _arguments(algorithm: Sb3Name, settings: Sb3Config) -> dict[str, Any]:
    """What only some of the algorithms take."""
    if algorithm == "dqn":
        starts = min(500, max(1, settings.steps // 10))
        explore = {"exploration_fraction": 0.4, "exploration_final_eps": 0.05}
        return {"learning_starts": starts, "target_update_interval": 500, "buffer_size": 20000, **explore}
    if algorithm == "a2c":
        return {"ent_coef": settings.ent_coef, "n_steps": 16}
    return {"ent_coef": settings.ent_coef, "n_steps": settings.rollout, "batch_size": 64}
