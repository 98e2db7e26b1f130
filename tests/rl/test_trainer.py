"""The trainer solves a toy task with every algorithm, and goes on bit for bit after it was killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.config import PolicyConfig, TrainConfig
from gpoa.envs.episode import PromptEpisode
from gpoa.errors import ConfigError
from gpoa.graph.nodes import NodeKind
from gpoa.policies.graph_policy import GraphPolicy
from gpoa.rl.rollout import best_actions, play
from gpoa.rl.trainer import Trainer
from tests.episodes import CONFIG, make_episode, make_truth

GRAPH = replace(CONFIG, horizon=2, single_points=False, levels=(-2.0, 0.0, 0.5), box=False, component_groups=0)
POLICY = PolicyConfig(width=16, layers=1, map_width=4, quality_width=8, members=1, stop_bias=0.0)
TRAIN = TrainConfig(
    updates=25,
    episodes=2,
    rollouts=8,
    explore=2,
    learning_rate=1e-2,
    eval_every=5,
    quality_masks=8,
    workers=1,
    epochs=2,
)


class ToySource:
    """Two images whose object is larger than the score map says: the lowest dense prompt is right."""

    def __init__(self) -> None:
        self.episodes = [make_episode(make_truth(margin=2), GRAPH) for _ in range(2)]

    def sample(self, rng: np.random.Generator) -> PromptEpisode:
        return self.episodes[int(rng.integers(2))]

    def held_out(self) -> list[tuple[str, PromptEpisode]]:
        return [("toy", self.episodes[0])]


def _trainer(folder: Path, config: TrainConfig) -> Trainer:
    torch.manual_seed(0)
    return Trainer(GraphPolicy(POLICY), ToySource(), config, folder, lambda path, result: None)


@pytest.mark.parametrize("algorithm", ["rloo", "ppo", "dqn"])
def test_toy_task_is_solved(algorithm: str, tmp_path: Path):
    trainer = _trainer(tmp_path, replace(TRAIN, algorithm=algorithm, updates=40, epsilon=0.5))
    episode = trainer.source.episodes[0]
    before = play(trainer.policy.actor.eval(), [episode], None, best_actions).visited[0][-1]
    for _ in trainer.run():
        pass
    after = play(trainer.policy.actor, [episode], None, best_actions).visited[0][-1]
    low = int(np.flatnonzero(episode.nodes.kind == NodeKind.DENSE)[0])
    assert after.active[low] and not before.active[low]
    truth = [episode.feedback(state.active).truth[episode.nodes.output(state.active)] for state in (before, after)]
    assert truth[1] > truth[0] + 0.3


def test_quality_head_picks_the_better_set(tmp_path: Path):
    trainer = _trainer(tmp_path, TRAIN)
    last = [update.scalars for update in trainer.run() if "eval/final" in update.scalars][-1]
    assert last["eval/final"] > last["eval/start"] + 0.3
    assert last["eval/final"] <= last["eval/best_seen"]


@pytest.mark.parametrize("algorithm", ["rloo", "dqn"])
def test_resumed_run_is_the_same_bit_for_bit(algorithm: str, tmp_path: Path):
    config = replace(TRAIN, algorithm=algorithm, updates=10)
    whole = [update.scalars for update in _trainer(tmp_path / "whole", config).run()]
    killed = _trainer(tmp_path / "killed", config)
    for _ in killed.run():
        if killed.update_count == 7:  # the last checkpoint is that of update 5
            break
    resumed = _trainer(tmp_path / "killed", config)
    resumed.resume(tmp_path / "killed" / "last.pt")
    assert resumed.update_count == 5
    rest = [update.scalars for update in resumed.run()]
    assert json.dumps(rest) == json.dumps(whole[-5:])


def test_resume_with_other_values_is_refused(tmp_path: Path):
    trainer = _trainer(tmp_path, TRAIN)
    trainer.save()
    other = _trainer(tmp_path, replace(TRAIN, gamma=0.5))
    with pytest.raises(ConfigError, match="gamma was 1.0, now 0.5"):
        other.resume(tmp_path / "last.pt")


def test_threads_change_nothing(tmp_path: Path):
    one = [update.scalars for update in _trainer(tmp_path / "a", replace(TRAIN, updates=3)).run()]
    two = [update.scalars for update in _trainer(tmp_path / "b", replace(TRAIN, updates=3, workers=2)).run()]
    assert json.dumps(one) == json.dumps(two)
