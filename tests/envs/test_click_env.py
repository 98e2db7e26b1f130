"""The click environment, on drawn pictures."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gpoa.envs  # noqa: F401  (registers)
from gpoa.config.clicks import ClickEnvConfig
from gpoa.envs.click_env import CLICK_POTENTIALS, ClickSegmentEnv
from gpoa.envs.click_episode import Click, ClickState
from gpoa.envs.click_oracle import oracle_click
from gpoa.envs.click_toy import ToySegmenter, draw_scene, make_click_toy
from gpoa.errors import ConfigError

STOP, UNDO = 2 * 12 * 12, 2 * 12 * 12 + 1


@pytest.mark.parametrize("options", [{}, {"prior": True, "start": "prior"}, {"observation": "alignsam", "prior": True}])
def test_checkers_pass(options: dict[str, object]) -> None:
    made = gymnasium.make("gpoa/ClickSegmentToy-v0", scenes=3, render_mode="rgb_array", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(made.unwrapped)
        sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
        sb3.check_env(made.unwrapped)


def test_oracle_actions_raise_dice_to_one_and_their_sum_is_the_gain() -> None:
    env = make_click_toy(scenes=4, click_cost=0.0)
    _, info = env.reset(seed=3)
    began, total = info["dice"], 0.0
    assert 0.2 < began < 0.8  # one part of two or three is found by the first click
    for _ in range(4):
        click = oracle_click(env.scene.wanted, env.state.mask, env.episode.size)
        if click is None:
            break
        _, reward, _, _, info = env.step(np.int64(env.action_of(click)))
        total += reward
    assert info["dice"] > 0.97
    assert total == pytest.approx(info["dice"] - began)


def test_a_circle_of_click_and_undo_earns_only_its_cost() -> None:
    env = make_click_toy(scenes=1, steps=9)
    env.reset(seed=0)
    state = env.state
    action = np.int64(np.flatnonzero(env.action_masks())[5])
    rewards = [env.step(action)[1], env.step(np.int64(UNDO))[1]]
    assert sum(rewards) == pytest.approx(-0.005)
    assert env.state is state


def test_masks_of_actions() -> None:
    env = make_click_toy(scenes=1, start="nothing")
    env.reset(seed=0)
    legal = env.action_masks()
    assert legal[:144].all() and not legal[144:288].any()  # nothing to take away from
    assert legal[STOP] and not legal[UNDO]
    env.step(np.int64(17))
    legal = env.action_masks()
    assert not legal[17] and not legal[17 + 144] and legal[18] and legal[UNDO]


def test_stop_terminates_and_the_limit_truncates() -> None:
    env = make_click_toy(scenes=1, steps=2)
    env.reset(seed=0)
    assert env.step(np.int64(STOP))[2:4] == (True, False)
    env.reset(seed=0)
    assert env.step(np.int64(3))[2:4] == (False, False)
    assert env.step(np.int64(80))[2:4] == (False, True)


def test_cells_cover_a_wide_image() -> None:
    scene = draw_scene(np.random.default_rng(0))
    wide = np.repeat(scene.image, 2, axis=1)[:, :150]
    wide_scene = type(scene)("wide", wide, ToySegmenter().encode(wide), None, wide[..., 0] > 200)
    env = ClickSegmentEnv([wide_scene], ToySegmenter(), ClickEnvConfig(grid=10, start="nothing"))
    env.reset(seed=0)
    assert env.click_of(0) == Click(7.0, pytest.approx(4.3), 1)
    assert all(env.action_of(env.click_of(action)) == action for action in range(200))


def test_rewards_on_hand_made_masks() -> None:
    scene = draw_scene(np.random.default_rng(1))
    perfect = ClickState((), np.where(scene.wanted, 5.0, -5.0).astype(np.float32))
    empty = ClickState((), np.full((256, 256), -5.0, dtype=np.float32))
    for name in ("dice", "iou", "dice-boundary"):
        assert CLICK_POTENTIALS[name](perfect, scene) == 1.0
        assert CLICK_POTENTIALS[name](empty, scene) == 0.0
    rows, columns = np.nonzero(scene.truth)
    inside = Click(float(columns[0]) + 3, float(rows[0]) + 3, 1)
    value = CLICK_POTENTIALS["alignsam"]
    assert value(ClickState((inside,), empty.logits), scene) == pytest.approx(0.2)
    wrong = ClickState((inside._replace(label=0),), empty.logits)
    assert value(wrong, scene) == pytest.approx(-0.2)
    twice = ClickState((inside, inside), empty.logits)  # a second click on the same place: half
    assert value(twice, scene) == pytest.approx(0.3)


def test_the_truth_is_in_no_observation() -> None:
    scene = draw_scene(np.random.default_rng(2))
    other = type(scene)(scene.group, scene.image, scene.embedding, scene.prior, ~scene.truth)
    for kind in ("channels", "alignsam"):
        config = ClickEnvConfig(grid=8, size=32, observation=kind, prior=True, start="prior", feed_back=False)
        seen = []
        for one in (scene, other):
            env = ClickSegmentEnv([one], ToySegmenter(), config)
            seen.append([env.reset(seed=0)[0], *(env.step(np.int64(action))[0] for action in (3, 30, 70))])
        for left, right in zip(*seen, strict=True):
            pairs = [(left, right)] if kind == "channels" else [(left[name], right[name]) for name in left]
            assert all(np.array_equal(a, b) for a, b in pairs)


def test_vector_environments_share_a_segmenter() -> None:
    scenes, segmenter = [draw_scene(np.random.default_rng(n)) for n in range(3)], ToySegmenter()
    make = lambda: gymnasium.make(  # noqa: E731
        "gpoa/ClickSegment-v0", scenes=scenes, segmenter=segmenter, grid=8, size=32, disable_env_checker=True
    )
    vector = gymnasium.vector.SyncVectorEnv([make, make])
    seen, info = vector.reset(seed=1)
    assert seen.shape == (2, 6, 32, 32) and info["action_mask"].shape == (2, 2 * 64 + 2)
    assert vector.envs[0].unwrapped.segmenter is vector.envs[1].unwrapped.segmenter
    vector.step(np.array([1, 130 - 2]))


def test_a_picture_of_the_state() -> None:
    env = make_click_toy(scenes=1, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None and picture.shape == (48, 48, 3) and picture.dtype == np.uint8
    assert (picture == (40, 220, 60)).all(axis=-1).any()  # the oracle's first click


@pytest.mark.parametrize(
    ("options", "text"),
    [({"grid": 1}, "grid 1"), ({"size": 4}, "size 4"), ({"steps": 0}, "steps 0"), ({"patch_size": 999}, "patch-size")],
)
def test_wrong_options_are_named(options: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ClickEnvConfig(**options)


def test_a_folder_or_scenes_are_needed() -> None:
    with pytest.raises(ConfigError, match="data="):
        gymnasium.make("gpoa/ClickSegment-v0")
