"""The first layer of a Stable-Baselines3 policy: observations scaled by what the training data look like.

The scaling is part of the network's weights, so that one file holds it, `stable_baselines3.PPO.load` restores it, and
training and inference cannot differ. (`VecNormalize` keeps it in a second file, and changes it while training.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LEAST_SPREAD = 0.02
"""A number that hardly varies is not blown up."""
SCALED_RANGE = 5.0


class ScaledObservations(nn.Module):
    """A features extractor of Stable-Baselines3 without weights to learn: (x - mean) / spread, clipped to +-5.

    Args:
        observation_space: a flat Box; its first dimension is the number of features.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, observation_space: Any) -> None:
        super().__init__()
        self.features_dim = int(observation_space.shape[0])
        self.register_buffer("mean", torch.zeros(self.features_dim))
        self.register_buffer("spread", torch.ones(self.features_dim))

    def forward(self, observations: Tensor) -> Tensor:
        """[B, F] -> [B, F]."""
        return ((observations - self.mean) / self.spread).clamp(-SCALED_RANGE, SCALED_RANGE)


def fit_scaling(policy: nn.Module, observations: np.ndarray) -> None:
    """Fits the scaling of a policy; call it once, before training.

    Args:
        policy: of Stable-Baselines3, with `ScaledObservations` (target networks have one of their own).
        observations: [N, F] float32 of training episodes, not scaled.

    Raises:
        ValueError: the policy has no such layer.
    """
    layers = [module for module in policy.modules() if isinstance(module, ScaledObservations)]
    if not layers:
        raise ValueError("the policy has no ScaledObservations layer")
    mean, spread = observations.mean(axis=0), np.maximum(observations.std(axis=0), LEAST_SPREAD)
    for layer in layers:
        layer.mean.copy_(torch.from_numpy(mean))
        layer.spread.copy_(torch.from_numpy(spread))
