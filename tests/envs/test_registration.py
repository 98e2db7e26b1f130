"""The environments under their names in Gymnasium."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import pytest

import gpoa.envs
from gpoa.envs.bubble_toy import toy_episode
from gpoa.envs.registration import ENVIRONMENTS, register_environments
from gpoa.errors import ConfigError
from tests.episodes import make_episode, make_truth


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_name_is_known(name: str) -> None:
    module, function = ENVIRONMENTS[name].split(":")
    assert name in gymnasium.registry
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_registering_twice_is_harmless(recwarn: pytest.WarningsRecorder) -> None:
    register_environments()
    assert not recwarn.list


def test_a_name_with_its_module_needs_no_import() -> None:
    code = "import gymnasium; print(gymnasium.make('gpoa.envs:gpoa/BubblePromptsToy-v0').action_space)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "Discrete(17)"), done.stderr


def test_own_episodes_are_taken() -> None:
    bubbles = gymnasium.make("gpoa/BubblePrompts-v0", draw=toy_episode)
    assert bubbles.reset(seed=0)[0].shape == (72,)
    graph = gymnasium.make("gpoa/PromptGraph-v0", draw=lambda rng: make_episode(make_truth()), max_nodes=40)
    assert graph.reset(seed=0)[0]["nodes"].shape[0] == 40


@pytest.mark.parametrize("name", ["gpoa/BubblePrompts-v0", "gpoa/PromptGraph-v0"])
def test_without_images_it_says_what_to_give(name: str) -> None:
    with pytest.raises(ConfigError, match=r'make\("gpoa/.*", data="classes/"\)'):
        gymnasium.make(name)
    with pytest.raises(ConfigError, match="both given"):
        gymnasium.make(name, data="classes/", draw=toy_episode)


def test_the_room_registers_them() -> None:
    assert gpoa.envs.register_environments is register_environments
