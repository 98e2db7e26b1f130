"""Advantages by hand."""

from __future__ import annotations

import pytest
import torch

from gpoa.rl.advantages import generalized_advantage, leave_one_out, rewards_to_go


def test_leave_one_out_by_hand():
    # 3 - mean(1, 2), 1 - mean(3, 2), 2 - mean(3, 1)
    torch.testing.assert_close(leave_one_out(torch.tensor([[3.0, 1.0, 2.0]])), torch.tensor([[1.5, -1.5, 0.0]]))
    with pytest.raises(ValueError, match="at least 2"):
        leave_one_out(torch.tensor([[1.0]]))


def test_rewards_to_go_by_hand():
    rewards = torch.tensor([[1.0, 2.0, 4.0]])
    torch.testing.assert_close(rewards_to_go(rewards, 1.0), torch.tensor([[7.0, 6.0, 4.0]]))
    torch.testing.assert_close(rewards_to_go(rewards, 0.5), torch.tensor([[3.0, 4.0, 4.0]]))


def test_gae_by_hand():
    """Two steps, then the end; gamma 0.5, lambda 0.5."""
    rewards, values = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[0.5, 1.0, 0.0]])
    alive, bootstrap = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    # errors: 1 + 0.5 * 1 - 0.5 = 1, and 2 - 1 = 1; advantage: 1 + 0.25 * 1, and 1.
    made = generalized_advantage(rewards, values, alive, bootstrap, 0.5, 0.5)
    torch.testing.assert_close(made, torch.tensor([[1.25, 1.0, 0.0]]))


def test_gae_at_the_ends_of_lambda():
    rewards, values = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.3, 0.2, 0.1]])
    alive, bootstrap = torch.ones(1, 3), torch.tensor([[0.2, 0.1, 0.0]])
    full = generalized_advantage(rewards, values, alive, bootstrap, 1.0, 1.0)
    torch.testing.assert_close(full, rewards_to_go(rewards, 1.0) - values)
    one_step = generalized_advantage(rewards, values, alive, bootstrap, 1.0, 0.0)
    torch.testing.assert_close(one_step, rewards + bootstrap - values)
