"""Training of click agents on drawn pictures, where a further click on each part is what helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.config.clicks import ClickEnvConfig, ClickTrainConfig
from gpoa.envs.click_scene import ClickScene
from gpoa.envs.click_toy import ToySegmenter, draw_scene
from gpoa.errors import ConfigError, DataError
from gpoa.rl.click_run import ClickRun, split_by_set
from gpoa.rl.click_training import ClickTraining, mean_gain
from gpoa.search.click_learned import LearnedAgent, load_agent, make_network

TINY = ClickTrainConfig(rounds=1, updates=25, batch=4, steps=2, candidates=4, learning_rate=5e-3)


def _scenes(count: int = 6, group: str = "toy") -> list[ClickScene]:
    rng = np.random.default_rng(0)
    return [draw_scene(rng, group) for _ in range(count)]


def test_gains_are_those_of_the_decoded_clicks_and_the_losses_fall() -> None:
    torch.manual_seed(0)
    training = ClickTraining(make_network("relational", 8), _scenes(4), ToySegmenter(), TINY)
    visits = training.visit(0, learned=False)
    assert len(visits) == 2 and all(len(one.gains) == 4 for one in visits)
    assert visits[0].gains.max() > 0.1  # the oracle's click is among them
    training.visits = visits + training.visit(1, learned=False)
    before = [loss.item() for loss in training._losses(training.visits)]
    training.fit()
    after = [loss.item() for loss in training._losses(training.visits)]
    assert after[0] < before[0] and after[1] < before[1]


def test_the_toy_task_is_learned_without_a_prior() -> None:
    torch.manual_seed(0)
    config = ClickTrainConfig(rounds=2, updates=60, batch=6, steps=2, candidates=4, learning_rate=5e-3, no_prior=1.0)
    network = make_network("relational", 8)
    scenes = _scenes(8)
    for scalars in ClickTraining(network, scenes[:6], ToySegmenter(), config).run():
        assert np.isfinite(list(scalars.values())).all()
    gain = mean_gain(LearnedAgent(network), scenes[6:], ToySegmenter(), clicks=3, prior=False)
    assert gain > 0.15  # the colour of the clicked part is all that says which other parts belong


def test_a_run_keeps_the_best_agent_and_says_how_it_came_about(tmp_path: Path) -> None:
    scenes = _scenes(3, "a/one") + _scenes(2, "b/two")
    run = ClickRun(tmp_path, scenes, ToySegmenter(), "implicit", TINY, 0.5)
    scalars = list(run.run())
    assert len(scalars) == 1 and scalars[0]["eval/gain"] == run.best
    agent = load_agent(tmp_path / "agent.pt")
    history = agent.card.training
    assert {*history["classes"], *history["validation"]} == {"a/one", "b/two"}
    assert history["segmenter"] == "toy" and history["rounds"] == 1
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 1


def test_no_validation_class_has_a_sibling_in_training() -> None:
    scene = _scenes(1)[0]
    scenes = [
        ClickScene(name, scene.image, scene.embedding, scene.prior, scene.truth) for name in ("a/1", "a/2", "b/1", "c")
    ]
    train, held = split_by_set(scenes, 0.3, 0)
    sets = [{one.group.split("/")[0] for one in part} for part in (train, held)]
    assert not sets[0] & sets[1] and sets[0] | sets[1] == {"a", "b", "c"} and len(sets[1]) == 1
    with pytest.raises(DataError, match="needs two"):
        split_by_set(scenes[:2], 0.3, 0)


def test_an_agent_of_stable_baselines3_trains_on_the_environment(tmp_path: Path) -> None:
    contrib = pytest.importorskip("sb3_contrib")
    from gpoa.rl.click_sb3 import train_sb3

    config = ClickEnvConfig(grid=6, size=36, steps=2, feed_back=False)
    train_sb3("maskable-ppo", _scenes(2), ToySegmenter(), config, 8, tmp_path, n_steps=8, batch_size=4, n_epochs=1)
    again = contrib.MaskablePPO.load(tmp_path / "model.zip")
    assert again.action_space.n == 2 * 36 + 2


def test_wrong_settings_are_named_together() -> None:
    with pytest.raises(ConfigError, match=r"--train.rounds 0.*--train.random 2"):
        ClickTrainConfig(rounds=0, random=2)
