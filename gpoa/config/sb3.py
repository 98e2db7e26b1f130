"""How an agent of Stable-Baselines3 is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpoa.config.names import check

Sb3Name = Literal["ppo", "a2c", "dqn", "maskable-ppo"]


@dataclass(frozen=True)
class Sb3Config:
    """How an agent of Stable-Baselines3 is trained."""

    steps: int = 20000
    """Environment steps in all; each is at most one mask decoder call."""
    horizon: int = 7
    """Actions per episode, at most."""
    reward: Literal["iou", "dice-boundary", "expected"] = "iou"
    """Reward per step: the change in iou, in dice-boundary (mean of Dice and boundary IoU), or in the IoU that the
    prior expects (expected), which needs no ground truth."""
    step_cost: float = 0.002
    """Cost subtracted from the reward of each action but STOP."""
    images: int = 8
    """Maximum number of images per class, evenly spaced by name."""
    pairs: int = 6
    """Reference/target pairs per class, drawn once."""
    eval_pairs: int = 24
    """Maximum number of pairs per evaluation, spread over the validation classes."""
    eval_every: int = 2000
    """Evaluate every so many steps."""
    checkpoint_every: int = 2000
    """Write a checkpoint to go on from every so many steps."""
    masks_every: int = 50
    """Write the mask of every so many episodes to train_masks/; 0 disables this."""
    scaling_steps: int = 400
    """Random steps on training pairs from which the scaling of the observation is fitted."""
    learning_rate: float = 1e-3
    """Learning rate."""
    gamma: float = 1.0
    """Discount factor."""
    ent_coef: float = 0.01
    """ppo, a2c, maskable-ppo: entropy coefficient."""
    rollout: int = 256
    """ppo, maskable-ppo: steps per update."""
    net_arch: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        counts = ("steps", "horizon", "pairs", "eval_pairs", "eval_every", "checkpoint_every", "scaling_steps")
        check(
            *(
                (getattr(self, name) >= 1, f"--sb3.{name.replace('_', '-')} {getattr(self, name)}: at least 1")
                for name in counts
            ),
            (self.images >= 2, f"--sb3.images {self.images}: at least 2"),
            (self.rollout >= 64, f"--sb3.rollout {self.rollout}: at least 64"),
            (self.masks_every >= 0, f"--sb3.masks-every {self.masks_every}: 0 or more"),
            (self.learning_rate > 0, f"--sb3.learning-rate {self.learning_rate}: above 0"),
            (0 <= self.gamma <= 1, f"--sb3.gamma {self.gamma}: from 0 to 1"),
            (bool(self.net_arch) and min(self.net_arch) >= 1, "--sb3.net-arch: at least one layer of at least 1"),
        )
