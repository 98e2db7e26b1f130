"""Gymnasium's interface."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gpoa.envs.prompt_graph import PromptGraphEnv
from gpoa.errors import ConfigError
from gpoa.matching.reference import Reference
from gpoa.matching.relational_maps import TargetView
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


def test_the_surface_of_other_agents():
    env = _env(render_mode="rgb_array")
    _, info = env.reset(seed=0)
    np.testing.assert_array_equal(env.action_masks(), info["action_mask"] == 1)
    before = env.render()
    env.step(int(np.flatnonzero(env.action_masks())[0]))
    assert before.shape == (256, 256, 3) and before.dtype == np.uint8 and not np.array_equal(before, env.render())
    assert _env().render() is None
    with pytest.raises(ConfigError, match="rgb_array or None"):
        _env(render_mode="human")


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_spaces_do_not_depend_on_the_number_of_references(shots: int):
    """Places that no reference takes are zeros; of more than fit the first are shown."""

    def draw(rng: np.random.Generator):
        episode = make_episode(make_truth())
        view = episode.view
        labels = np.tile(view.reference.foreground, shots)
        reference = Reference(np.concatenate([view.reference.tokens] * shots), labels)
        other = Reference(np.concatenate([view.segmenter_reference.tokens] * shots), labels)
        episode.view = TargetView(reference, view.features, view.score_map, other, view.segmenter_tokens)
        return episode

    env = PromptGraphEnv(draw, max_nodes=40, max_references=3)
    seen, _ = env.reset(seed=0)
    assert seen["reference_maps"].shape == env.observation_space["reference_maps"].shape
    assert seen["reference_maps"].shape[1] == 3
    shown = min(shots, 3)
    assert seen["references"] == pytest.approx(shown / 3)
    assert seen["reference_maps"][0, :shown].any() and not seen["reference_maps"][:, shown:].any()


def test_stable_baselines_checker():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # It would like images of bytes and flat vectors; our maps are neither, which its MultiInputPolicy flattens.
        warnings.filterwarnings("ignore", message=".*(image|unconventional|flattened|infinity|-inf|Box).*")
        checker.check_env(_env(render_mode="rgb_array"))
