"""The bubble environment: the toy is the real one but for the segmenter."""

from __future__ import annotations

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gpoa.envs.bubble_episode import ACTIONS, CANDIDATES, STOP, BubbleEpisode, choose_state
from gpoa.envs.bubble_observation import NUMBERS, observe_bubble
from gpoa.envs.bubble_places import Kind
from gpoa.envs.bubble_prompts import BubblePromptsEnv
from gpoa.envs.bubble_toy import toy_episode
from gpoa.errors import ConfigError


def _episode(seed: int = 0, horizon: int = 8) -> BubbleEpisode:
    return toy_episode(np.random.default_rng(seed), horizon)


def _env(**parts: object) -> BubblePromptsEnv:
    return BubblePromptsEnv(toy_episode, **parts)  # type: ignore[arg-type]


def _rule(numbers: dict[str, float], legal: np.ndarray) -> int:
    """Removes positives that the prior doubts, adds those of which it is sure, then stops."""
    remove, add = CANDIDATES * Kind.REMOVE_POSITIVE, CANDIDATES * Kind.ADD_POSITIVE
    if legal[remove] and numbers["remove_positive_0_log_odds"] < 0:
        return remove
    return add if legal[add] and numbers["add_positive_0_log_odds"] > 0 else STOP


def test_gymnasiums_checker() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("gpoa/BubblePromptsToy-v0", render_mode="rgb_array").unwrapped)


def test_stable_baselines_checker() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(gymnasium.make("gpoa/BubblePromptsToy-v0", render_mode="rgb_array"))


def test_every_number_has_a_name_and_stays_in_range() -> None:
    env = _env()
    rng = np.random.default_rng(0)
    seen = []
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        ended = False
        while not ended:
            seen.append(observation)
            action = int(rng.choice(np.flatnonzero(info["action_mask"])))
            observation, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
    values = np.array(seen)
    assert len(NUMBERS) == len(set(NUMBERS)) == 72 and values.shape[1] == 72
    assert np.isfinite(values).all() and np.abs(values).max() <= 2
    still = {name for name, column in zip(NUMBERS, values.T, strict=True) if np.ptp(column) == 0}
    assert still <= {"dense", "predicted_iou", "predicted_change", "legal_add_positive"} | {
        name for name in NUMBERS if name.startswith("remove_negative")
    }


def test_the_eight_statistics_are_those_of_the_points() -> None:
    episode = _episode()
    state = episode.start()
    numbers = dict(zip(NUMBERS, observe_bubble(episode, state), strict=True))
    gap = np.hypot(*(state.xy[0] - state.xy[1])) / np.hypot(96, 128)
    tokens = episode.point_tokens(state)
    assert numbers["physical_positive"] == pytest.approx(gap, rel=1e-5)
    assert numbers["feature_positive"] == pytest.approx(1 - tokens[0] @ tokens[1], abs=1e-6)
    assert (numbers["positives"], numbers["negatives"]) == (pytest.approx(2 / 48), 0)
    assert numbers["feature_negative"] == numbers["feature_cross"] == numbers["physical_cross"] == 0


def test_the_policy_chooses_where() -> None:
    """Two candidates of one kind lead to two different masks: the place is no matter of chance."""
    episode = _episode()
    start = episode.start()
    first, second = (episode.step(start, CANDIDATES * Kind.ADD_POSITIVE + rank) for rank in (0, 1))
    assert not np.array_equal(first.look.mask, second.look.mask)
    again = episode.step(start, CANDIDATES * Kind.ADD_POSITIVE)
    np.testing.assert_array_equal(first.xy, again.xy)


def test_a_good_rule_finds_all_and_rewards_telescope() -> None:
    env = _env(step_cost=0.01)
    observation, info = env.reset(seed=1)
    start, total, steps, ended = info["iou"], 0.0, 0, False
    while not ended:
        action = _rule(dict(zip(NUMBERS, observation, strict=True)), info["action_mask"] == 1)
        observation, reward, ended, truncated, info = env.step(action)
        total, steps, ended = total + reward, steps + int(action != STOP), ended or truncated
    assert info["iou"] == 1 and info["final"] == 1
    assert total == pytest.approx(1 - start - 0.01 * steps)
    assert info["mask"].shape == (192, 256) and info["mask"].dtype == bool


def test_an_illegal_action_changes_nothing_and_costs_a_step() -> None:
    env = _env(step_cost=0.01)
    before, info = env.reset(seed=0)
    illegal = int(np.flatnonzero(info["action_mask"] == 0)[0])
    after, reward, terminated, truncated, info = env.step(illegal)
    assert info["illegal"] and reward == pytest.approx(-0.01) and not terminated and not truncated
    np.testing.assert_array_equal(before, after)
    for _ in range(6):
        env.step(illegal)
    assert env.step(illegal)[3], "illegal actions reach the horizon, too"


def test_stop_is_legal_at_once_and_free() -> None:
    env = _env(step_cost=0.5)
    assert env.reset(seed=0)[1]["action_mask"][STOP] == 1
    _, reward, terminated, truncated, info = env.step(STOP)
    assert (reward, terminated, truncated) == (0, True, False) and info["final"] == info["start"]


def test_an_action_is_not_undone_at_once() -> None:
    episode = _episode()
    state = episode.step(episode.start(), CANDIDATES * Kind.ADD_POSITIVE)
    places, added = episode.places(state), len(state.labels) - 1
    assert added not in places.points[Kind.REMOVE_POSITIVE]
    removed = episode.step(episode.start(), CANDIDATES * Kind.REMOVE_POSITIVE)
    cells = episode.places(removed).cells[Kind.ADD_POSITIVE][episode.places(removed).legal[Kind.ADD_POSITIVE]]
    assert removed.place is not None and (np.abs(cells - removed.place).max(axis=1) > 1).all()


def test_the_best_state_is_kept_without_ground_truth() -> None:
    episode = _episode()
    start = episode.start()
    better = episode.step(start, CANDIDATES * Kind.ADD_POSITIVE)
    worse = episode.step(better, CANDIDATES * Kind.ADD_POSITIVE + 3)
    visited = sorted([start, better, worse], key=lambda state: state is not start)
    best = max(visited, key=lambda state: state.look.expected_iou)
    assert choose_state(visited, 0.0) is best and choose_state(visited, 1.0) is start


def test_no_ground_truth_is_needed_nor_seen() -> None:
    """The same image without a truth gives the same observations."""
    known = _episode()
    blind = BubbleEpisode(known.image, known._decode, 8)
    actions = [CANDIDATES * Kind.ADD_POSITIVE, CANDIDATES * Kind.REMOVE_POSITIVE]
    states = [(known, known.start()), (blind, blind.start())]
    for action in actions:
        one, other = (observe_bubble(*pair) for pair in states)
        np.testing.assert_array_equal(one, other)
        states = [(episode, episode.step(state, action)) for episode, state in states]
    assert states[1][1].look.truth is None and states[1][1].look.full is not None
    env = BubblePromptsEnv(lambda rng: blind, reward="expected")
    env.reset(seed=0)
    assert env.step(STOP)[4]["final"] == pytest.approx(blind.start().look.expected_iou)
    with pytest.raises(ConfigError, match="needs ground truth; use reward='expected'"):
        BubblePromptsEnv(lambda rng: blind).reset(seed=0)


def test_a_set_is_decoded_once() -> None:
    episode = _episode()
    for _ in range(3):
        episode.step(episode.start(), CANDIDATES * Kind.ADD_POSITIVE)
    assert episode.decoder_calls == 2
    episode.forget()
    episode.start()
    assert episode.decoder_calls == 3


def test_spaces_do_not_depend_on_the_image() -> None:
    """A tall image with many points, without negatives, and with a dense prompt."""
    toy = _episode()
    rng = np.random.default_rng(0)
    many = rng.uniform(0, 90, (70, 2)).astype(np.float32)
    start = replace(
        toy.image.start,
        point_coords=many,
        point_labels=np.ones(70, dtype=np.int64),
        mask_prompt=np.zeros((256, 256), dtype=np.float32),
    )
    tall = BubbleEpisode(replace(toy.image, start=start, original_size=(128, 96)), toy._decode, 8)
    state = tall.start()
    assert observe_bubble(tall, state).shape == (72,) and tall.legal(state).shape == (ACTIONS,)
    assert (state.labels == 1).sum() == 48 and not tall.places(state).legal[Kind.ADD_POSITIVE].any()


def test_a_picture_of_the_state() -> None:
    env = _env(render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(CANDIDATES * Kind.ADD_POSITIVE)
    after = env.render()
    assert before is not None and after is not None
    assert before.shape == (256, 256, 3) and before.dtype == np.uint8 and not np.array_equal(before, after)
    assert _env().render() is None
    with pytest.raises(ConfigError, match="rgb_array or None"):
        _env(render_mode="human")


def test_before_reset_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        _ = _env().episode
