"""The three ways to learn from rollouts; each takes the same rollouts and returns one scalar loss.

Legend: `S` steps taken, `R` rollouts, `T` steps of the longest one, `B` episodes, `K` rollouts of each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gpoa.policies.actor_critic import PolicyOutput, masked_entropy
from gpoa.rl.advantages import generalized_advantage, leave_one_out, rewards_to_go
from gpoa.rl.rollout import Rollouts


class Targets(NamedTuple):
    """What each step taken is to be learned from.

    Args:
        advantage: [S].
        returns: [S] what the value head is to predict.
    """

    advantage: Tensor
    returns: Tensor


def rloo_targets(rollouts: Rollouts, repeats: int, gamma: float) -> Targets:
    """Every step of a rollout gets the rollout's leave-one-out advantage.

    Args:
        rollouts: R = B * K of them, the K of an episode side by side.
        repeats: K.
        gamma: discount.
    """
    to_go = rewards_to_go(rollouts.rewards, gamma)
    advantage = leave_one_out(to_go[:, 0].view(-1, repeats)).view(-1)  # [R]
    return Targets(advantage[rollouts.row], to_go[rollouts.row, rollouts.step])


def gae_targets(rollouts: Rollouts, gamma: float, gae_lambda: float) -> Targets:
    """Every step gets its generalized advantage."""
    advantage = generalized_advantage(
        rollouts.rewards, rollouts.values, rollouts.alive, rollouts.bootstrap, gamma, gae_lambda
    )
    picked = advantage[rollouts.row, rollouts.step]
    return Targets(picked, picked + rollouts.values[rollouts.row, rollouts.step])


def rloo_loss(output: PolicyOutput, legal: Tensor, column: Tensor, targets: Targets, ent_coef: float) -> Tensor:
    """REINFORCE with the leave-one-out baseline, and an entropy bonus.

    Args:
        output: of the S states.
        legal: [S, A] bool.
        column: [S] chosen columns.
        targets: from `rloo_targets`; the advantages are scaled by their spread over the batch.
        ent_coef: weight of the entropy.
    """
    advantage = targets.advantage / (targets.advantage.std() + 1e-4)
    chosen = _log_prob(output.logits, column)
    return -(advantage * chosen).mean() - ent_coef * masked_entropy(output.logits, legal).mean()


def ppo_loss(
    output: PolicyOutput,
    legal: Tensor,
    column: Tensor,
    old_log_prob: Tensor,
    targets: Targets,
    clip_range: float,
    ent_coef: float,
    vf_coef: float,
) -> Tensor:
    """Clipped surrogate (Schulman et al. 2017, eq. 7) with masked entropy and value loss.

    Args:
        output: of the S states.
        legal: [S, A] bool.
        column: [S] chosen columns.
        old_log_prob: [S] under the policy that played.
        targets: from `gae_targets`.
        clip_range, ent_coef, vf_coef: as in PPO.
    """
    advantage = (targets.advantage - targets.advantage.mean()) / (targets.advantage.std() + 1e-4)
    ratio = (_log_prob(output.logits, column) - old_log_prob).exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    surrogate = torch.minimum(ratio * advantage, clipped * advantage).mean()
    value = functional.mse_loss(output.value, targets.returns)
    return -surrogate + vf_coef * value - ent_coef * masked_entropy(output.logits, legal).mean()


def dqn_targets(rollouts: Rollouts, online: Tensor, target: Tensor, gamma: float) -> Targets:
    """Double Q-learning (van Hasselt et al. 2016): the online network chooses, the target network values.

    Args:
        rollouts: what was played.
        online, target: [S, A] the two networks' Q values of the visited states, illegal actions far below.
        gamma: discount.

    Returns:
        Targets whose `returns` are the values that Q(s, a) should have; the advantages are unused zeros.
    """
    best = target.gather(1, online.argmax(dim=1, keepdim=True))[:, 0]  # [S]
    grid = torch.zeros_like(rollouts.rewards)
    grid[rollouts.row, rollouts.step] = best
    following = torch.cat([grid[:, 1:], torch.zeros(len(grid), 1)], dim=1)  # 0 after the end
    wanted = rollouts.rewards + gamma * following
    picked = wanted[rollouts.row, rollouts.step]
    return Targets(torch.zeros_like(picked), picked)


def dqn_loss(q_values: Tensor, column: Tensor, targets: Targets) -> Tensor:
    """Huber loss of the chosen actions' values."""
    return functional.smooth_l1_loss(q_values.gather(1, _columns(q_values, column)[:, None])[:, 0], targets.returns)


def _log_prob(logits: Tensor, column: Tensor) -> Tensor:
    """[S] log-probability of the chosen columns."""
    log = torch.log_softmax(logits, dim=1)
    return log.gather(1, _columns(logits, column)[:, None])[:, 0]


def _columns(logits: Tensor, column: Tensor) -> Tensor:
    """Columns with STOP (-1) as the last one: batches of other graphs have other widths."""
    return torch.where(column < 0, logits.shape[1] - 1, column)
