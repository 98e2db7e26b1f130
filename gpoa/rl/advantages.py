"""How much better an action was than expected.

Legend: `B` episodes, `K` rollouts of each, `T` steps.
"""

from __future__ import annotations

import torch
from torch import Tensor


def leave_one_out(returns: Tensor) -> Tensor:
    """RLOO: the mean return of the episode's other rollouts is the baseline (Kool et al. 2019; Ahmadian et al. 2024).

    Args:
        returns: [B, K] with K >= 2.

    Returns:
        [B, K] advantages; each row sums to 0.

    Raises:
        ValueError: K is 1.
    """
    count = returns.shape[1]
    if count < 2:
        raise ValueError("leave-one-out needs at least 2 rollouts an episode, got 1")
    others = (returns.sum(dim=1, keepdim=True) - returns) / (count - 1)
    return returns - others


def rewards_to_go(rewards: Tensor, gamma: float) -> Tensor:
    """Discounted sum of the rewards from each step on.

    Args:
        rewards: [..., T], 0 after the end of an episode.
        gamma: discount in [0, 1].

    Returns:
        [..., T].
    """
    total = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[..., 0])
    for step in reversed(range(rewards.shape[-1])):
        running = rewards[..., step] + gamma * running
        total[..., step] = running
    return total


def generalized_advantage(
    rewards: Tensor, values: Tensor, alive: Tensor, bootstrap: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """GAE (Schulman et al. 2016, eq. 16).

    Args:
        rewards: [R, T].
        values: [R, T] expected return of each visited state.
        alive: [R, T] 1 while an episode runs; steps after its end count for nothing.
        bootstrap: [R, T] expected return of the state after the step: 0 where the episode terminated there, the value
            of that state where it was cut off or goes on.
        gamma: discount in [0, 1].
        gae_lambda: in [0, 1]; 0 is the one-step error, 1 the return minus the value.

    Returns:
        [R, T] advantages, 0 where not alive.
    """
    errors = (rewards + gamma * bootstrap - values) * alive
    advantage = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[:, 0])
    for step in reversed(range(rewards.shape[1])):
        running = errors[:, step] + gamma * gae_lambda * running * alive[:, step]
        advantage[:, step] = running
    return advantage
