"""The words that the settings choose from, and how their rules are checked."""

from __future__ import annotations

from typing import Literal

from gpoa.errors import ConfigError

MatcherName = Literal["nearest", "margin", "soft-knn", "ridge", "prior"]
ThresholdName = Literal["fixed", "otsu", "reference", "blend"]
SamplerName = Literal["farthest", "all"]
StrategyName = Literal[
    "auto", "none", "prior", "posterior", "random", "best-of-n", "greedy", "agent", "agent-search", "quality", "sb3"
]
LEARNED = ("agent", "agent-search", "quality")
"""Strategies that need a trained policy."""
JudgeName = Literal["sam-iou", "stability", "agreement", "separability", "mixed"]
RewardName = Literal["iou", "dice-boundary", "graph"]
AlgorithmName = Literal["rloo", "ppo", "dqn"]
TrackerName = Literal["wandb", "mlflow"]
MultimaskName = Literal["single", "best", "largest"]
PrecisionName = Literal["float32", "bfloat16", "float16", "auto"]


def check(*rules: tuple[bool, str]) -> None:
    """Checks settings together.

    Args:
        rules: (whether it holds, what to say where it does not).

    Raises:
        ConfigError: some do not hold; it names all of them.
    """
    broken = [text for holds, text in rules if not holds]
    if broken:
        raise ConfigError("; ".join(broken))
