"""The click environment and agents of Stable-Baselines3 (extra `sb3`): MaskablePPO, and PPO and A2C without masks, each
with its CNN on the image of six or seven channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from gpoa.config.clicks import ClickEnvConfig
from gpoa.envs.click_env import ClickSegmentEnv
from gpoa.envs.click_scene import ClickScene
from gpoa.errors import ConfigError
from gpoa.segmenters.base import Segmenter

Sb3Name = Literal["maskable-ppo", "ppo", "a2c"]


def train_sb3(
    name: Sb3Name,
    scenes: Sequence[ClickScene],
    segmenter: Segmenter,
    env_config: ClickEnvConfig,
    steps: int,
    output: Path,
    seed: int = 0,
    **options: Any,
) -> Any:
    """Trains an agent and writes `<output>/model.zip`, which the library's own `load` opens.

    Args:
        name: the algorithm.
        scenes, segmenter, env_config: of the environment.
        steps: environment steps.
        output: the run's folder.
        seed: of everything.
        options: of the algorithm, over these defaults: n_steps 64, batch_size 32, learning_rate 3e-4.

    Returns:
        The library's model.

    Raises:
        ConfigError: the packages are missing.
    """
    algorithm = _algorithm(name)
    env = ClickSegmentEnv(scenes, segmenter, env_config)
    defaults: dict[str, Any] = {"n_steps": 64, "learning_rate": 3e-4} | ({"batch_size": 32} if name != "a2c" else {})
    model = algorithm("CnnPolicy", env, seed=seed, **{**defaults, **options})
    model.learn(steps)
    output.mkdir(parents=True, exist_ok=True)
    model.save(output / "model.zip")
    return model


def _algorithm(name: Sb3Name) -> Any:
    """The library's class."""
    try:
        if name == "maskable-ppo":
            from sb3_contrib import MaskablePPO

            return MaskablePPO
        import stable_baselines3

        return {"ppo": stable_baselines3.PPO, "a2c": stable_baselines3.A2C}[name]
    except ImportError as error:
        raise ConfigError(f"--algorithm {name}: needs stable-baselines3; pip install 'gpoa[sb3]'") from error
