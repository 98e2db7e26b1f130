"""Gymnasium's interface."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gpoa.envs.prompt_graph import PromptGraphEnv
from gpoa.errors import ConfigError
from tests.episodes import make_episode, make_truth


def _env(**parts: object) -> PromptGraphEnv:
    return PromptGraphEnv(lambda rng: make_episode(make_truth()), max_nodes=40, **parts)


def test_gymnasiums_checker():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(infinity|-inf|inf|render|spec).*")
        check_env(_env(), skip_render_check=True)


def test_stop_terminates():
    env = _env()
    _, info = env.reset(seed=0)
    assert info["action_mask"][-1] == 1 and info["action_mask"].sum() > 5
    _, reward, terminated, truncated, _ = env.step(40)
    assert (reward, terminated, truncated) == (0, True, False)


def test_illegal_action_changes_nothing():
    env = _env()
    before, info = env.reset(seed=0)
    illegal = int(np.flatnonzero(info["action_mask"] == 0)[0])
    after, reward, _, _, info = env.step(illegal)
    assert reward == 0 and info["illegal"]
    np.testing.assert_array_equal(before["maps"], after["maps"])


def test_horizon_truncates_and_rewards_telescope():
    env = _env(step_cost=0.5)
    env.reset(seed=0)
    rewards = [env.step(action) for action in (0, 3, 0, 3)]
    assert [(step[2], step[3]) for step in rewards] == [(False, False)] * 3 + [(False, True)]
    assert sum(step[1] for step in rewards) == pytest.approx(-2.0)


def test_too_many_nodes_are_refused():
    with pytest.raises(ConfigError, match="max_nodes is 5"):
        PromptGraphEnv(lambda rng: make_episode(make_truth()), max_nodes=5)
