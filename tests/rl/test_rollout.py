"""Rollouts add up."""

from __future__ import annotations

import pytest
import torch

from gpoa.envs.rewards import POTENTIALS
from gpoa.policies.actor_critic import ActorCritic
from gpoa.rl.losses import dqn_targets, gae_targets, rloo_targets
from gpoa.rl.rollout import Rollouts, play, sample_actions
from tests.episodes import make_episode, make_truth


@pytest.fixture(scope="module")
def played() -> tuple[Rollouts, list]:
    torch.manual_seed(0)
    episodes = [make_episode(make_truth(margin=1))] * 3 + [make_episode(make_truth())] * 3
    actor = ActorCritic(width=8, layers=1, map_width=4).eval()
    generator = torch.Generator().manual_seed(1)
    return play(actor, episodes, POTENTIALS["iou"], sample_actions(generator), 0.01), episodes


def test_rewards_telescope(played: tuple[Rollouts, list]):
    rollouts, episodes = played
    for row, episode in enumerate(episodes):
        first, last = rollouts.visited[row][0], rollouts.visited[row][-1]
        change = POTENTIALS["iou"](episode, last) - POTENTIALS["iou"](episode, first)
        toggles = len(rollouts.visited[row]) - 1
        assert float(rollouts.rewards[row].sum()) == pytest.approx(change - 0.01 * toggles, abs=1e-5)


def test_every_step_is_there_once(played: tuple[Rollouts, list]):
    rollouts, _ = played
    assert len(rollouts.observations) == int(rollouts.alive.sum()) == len(rollouts.row)
    assert len({(int(r), int(s)) for r, s in zip(rollouts.row, rollouts.step, strict=True)}) == len(rollouts.row)
    assert float((rollouts.rewards * (1 - rollouts.alive)).abs().sum()) == 0
    assert float(rollouts.bootstrap[rollouts.alive.bool()].abs().sum()) >= 0
    ends = rollouts.alive.sum(dim=1).long() - 1
    assert float(rollouts.bootstrap[torch.arange(6), ends].abs().sum()) == 0  # nothing follows the end


def test_targets_have_one_entry_a_step(played: tuple[Rollouts, list]):
    rollouts, _ = played
    count = len(rollouts.row)
    for targets in (rloo_targets(rollouts, 3, 1.0), gae_targets(rollouts, 1.0, 0.9)):
        assert targets.advantage.shape == targets.returns.shape == (count,)
    zero = torch.zeros(count, 4)
    wanted = dqn_targets(rollouts, zero, zero + 2, 0.5).returns
    last = rollouts.step == rollouts.alive.sum(dim=1).long()[rollouts.row] - 1
    rewards = rollouts.rewards[rollouts.row, rollouts.step]
    torch.testing.assert_close(wanted[last], rewards[last])
    torch.testing.assert_close(wanted[~last], rewards[~last] + 1.0)  # 0.5 * 2
