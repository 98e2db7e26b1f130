"""The settings of the click environment and of the click agents' training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpoa.config.names import check

ObservationName = Literal["alignsam", "channels"]
StartName = Literal["nothing", "oracle", "prior"]
ClickRewardName = Literal["dice", "iou", "dice-boundary", "alignsam"]


@dataclass(frozen=True)
class ClickEnvConfig:
    """How the game of clicks is played."""

    grid: int = 32
    """Cells a side on which clicks are placed."""
    patch_size: int | None = None
    """Instead of grid: side of a cell in pixels of an observation."""
    size: int = 128
    """Side of an observation's image in pixels."""
    observation: ObservationName = "channels"
    """AlignSAM's dictionary, or an image of 6 channels."""
    prior: bool = False
    """Add the prior's probability to the observation."""
    reward: ClickRewardName = "dice"
    """Potential whose difference is the reward."""
    click_cost: float = 0.005
    """Subtracted from the reward of every click."""
    start: StartName = "oracle"
    """Nothing, the oracle's first click, or the prior's own mask."""
    steps: int = 5
    """Actions until an episode is cut off."""
    stop: bool = True
    """There is an action STOP."""
    undo: bool = True
    """There is an action UNDO."""
    feed_back: bool = True
    """The latest mask is a prompt of the next call."""

    def __post_init__(self) -> None:
        size = self.patch_size
        check(
            (2 <= self.grid <= 256, f"--env.grid {self.grid}: must lie between 2 and 256"),
            (16 <= self.size <= 1024, f"--env.size {self.size}: must lie between 16 and 1024"),
            (size is None or 1 <= size <= self.size // 2, f"--env.patch-size {size}: outside [1, {self.size // 2}]"),
            (self.steps >= 1, f"--env.steps {self.steps}: must be at least 1"),
            (self.click_cost >= 0, f"--env.click-cost {self.click_cost}: must not be negative"),
        )

    @property
    def cells(self) -> int:
        """G: cells a side."""
        return self.grid if self.patch_size is None else self.size // self.patch_size


@dataclass(frozen=True)
class ClickTrainConfig:
    """How a click agent's network is trained."""

    rounds: int = 3
    """Visits of every scene, each with the agent that the rounds before made."""
    updates: int = 150
    """Updates of the network a round."""
    batch: int = 12
    """States an update."""
    learning_rate: float = 2e-3
    """At the start of a round; it falls to a tenth by a cosine."""
    steps: int = 4
    """Clicks after the first one in an episode."""
    candidates: int = 6
    """Clicks that are decoded at a visited state."""
    random: float = 0.25
    """Share of the steps that take another than the agent's click."""
    no_prior: float = 0.3
    """Share of states that are learned as if nothing was known of the object."""
    gain_weight: float = 1.0
    """Weight of the gains' loss beside the belief's."""
    seed: int = 0
    """Of everything that is drawn."""

    def __post_init__(self) -> None:
        check(
            (self.rounds >= 1, f"--train.rounds {self.rounds}: must be at least 1"),
            (self.updates >= 1, f"--train.updates {self.updates}: must be at least 1"),
            (self.batch >= 1, f"--train.batch {self.batch}: must be at least 1"),
            (self.learning_rate > 0, f"--train.learning-rate {self.learning_rate}: must be above 0"),
            (self.steps >= 1, f"--train.steps {self.steps}: must be at least 1"),
            (self.candidates >= 2, f"--train.candidates {self.candidates}: must be at least 2"),
            (0 <= self.random <= 1, f"--train.random {self.random}: must lie in [0, 1]"),
            (0 <= self.no_prior <= 1, f"--train.no-prior {self.no_prior}: must lie in [0, 1]"),
        )
