"""Agents that click, on drawn pictures."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

import gpoa.search.click_agents
import gpoa.search.click_learned
import gpoa.search.click_suggest
from gpoa.envs.click_episode import ClickEpisode, ClickState
from gpoa.envs.click_maps import MAPS, PRIOR_MAPS, click_maps
from gpoa.envs.click_oracle import oracle_click
from gpoa.envs.click_scene import ClickScene
from gpoa.envs.click_toy import ToySegmenter, draw_scene
from gpoa.envs.rewards import dice
from gpoa.errors import ModelError
from gpoa.search.click_agents import PriorAgent, RandomAgent, SamAgent, run_agent
from gpoa.search.click_learned import ClickCard, LearnedAgent, load_agent, make_network, save_agent

SCENE = draw_scene(np.random.default_rng(4))


def _started(scene: ClickScene = SCENE, prior: bool = True) -> tuple[ClickEpisode, ClickState]:
    episode = ClickEpisode(ToySegmenter(), scene.embedding, scene.prior if prior else None, feed_back=False)
    first = oracle_click(scene.wanted, episode.begin().mask, episode.size)
    assert first is not None
    return episode, episode.click(episode.begin(), first)


def _agent() -> LearnedAgent:
    torch.manual_seed(0)
    return LearnedAgent(make_network("relational", 8))


@pytest.mark.parametrize("agent", [PriorAgent(), _agent()], ids=["prior", "learned"])
def test_with_a_good_prior_the_object_is_completed(agent: PriorAgent | LearnedAgent) -> None:
    episode, start = _started()
    result = run_agent(agent, episode, start, 4)
    assert dice(start.mask, SCENE.wanted) < 0.8
    assert dice(result.best.mask, SCENE.wanted) > 0.97
    assert len(result.visited) <= 5  # the toy's other masks are all the same


def test_a_click_that_spoils_the_mask_is_taken_back() -> None:
    class Spoiler(PriorAgent):
        """Its first click is wrong."""

        def propose(self, episode, state):  # type: ignore[no-untyped-def]
            found = super().propose(episode, state)
            bad = state.clicks[0]._replace(label=0)
            return [found[0]._replace(click=bad), *found]

        def dense(self, episode, state):  # type: ignore[no-untyped-def]
            return None

    episode, start = _started()
    result = run_agent(Spoiler(), episode, start, 3)
    assert not result.visited[1].mask.any()  # the only part is gone
    assert result.kept[1] == 0  # back to the start
    assert start.clicks[0]._replace(label=0) not in result.best.clicks
    assert dice(result.best.mask, SCENE.wanted) > dice(start.mask, SCENE.wanted)
    assert result.after(9) is result.best and result.after(0) is start


def test_the_same_actions_without_the_truth() -> None:
    other = ClickScene(SCENE.group, SCENE.image, SCENE.embedding, SCENE.prior, np.zeros_like(SCENE.truth))
    _, start = _started()
    for agent in (PriorAgent(), SamAgent(), _agent()):
        made = []
        for scene in (SCENE, other):
            episode = ClickEpisode(ToySegmenter(), scene.embedding, scene.prior, feed_back=False)
            made.append(run_agent(agent, episode, episode.click(episode.begin(), start.clicks[0]), 3).best.clicks)
        assert made[0] == made[1]


@pytest.mark.parametrize(
    "module", [gpoa.search.click_agents, gpoa.search.click_suggest, gpoa.search.click_learned], ids=lambda m: m.__name__
)
def test_nothing_that_acts_imports_the_oracle_or_a_truth(module: object) -> None:
    tree = ast.parse(Path(inspect.getsourcefile(module) or "").read_text())  # type: ignore[arg-type]
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"gpoa.envs.click_oracle", "gpoa.envs.click_scene", "gpoa.envs.rewards"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("truth", "wanted")]


def test_random_clicks_carry_the_priors_label_and_the_last_mask_is_kept() -> None:
    episode, start = _started()
    result = run_agent(RandomAgent(np.random.default_rng(0)), episode, start, 3, margin=0.0)
    assert [len(result.visited[place].clicks) for place in result.kept] == [1, 2, 3, 4]
    labels = [click.label for click in result.best.clicks[1:]]
    wanted = [int(SCENE.truth[round(click.y), round(click.x)]) for click in result.best.clicks[1:]]
    assert labels == wanted or len(labels) == 3


def test_maps_are_named_and_those_of_the_prior_vanish_without_one() -> None:
    maps = click_maps(*_started())
    assert maps.shape == (len(MAPS), 64, 64) and np.isfinite(maps).all() and np.abs(maps).max() <= 2.0
    without = click_maps(*_started(prior=False))
    assert not without[list(PRIOR_MAPS)].any()
    same = [number for number in range(len(MAPS)) if number not in PRIOR_MAPS]
    assert np.array_equal(maps[same], without[same])
    state = _started()[1]
    row, column = int(state.clicks[0].y * 64 / 96), int(state.clicks[0].x * 64 / 96)
    assert maps[MAPS.index("near positive clicks"), row, column] > 0.7
    assert maps[MAPS.index("like positive clicks"), row, column] == pytest.approx(1, abs=1e-3)


def test_an_agent_stops_where_no_gain_is_expected() -> None:
    network = make_network("relational", 8)
    episode, start = _started()
    assert LearnedAgent(network, ClickCard(stop=0.01)).propose(episode, start) == []
    assert LearnedAgent(network).propose(episode, start)


def test_a_file_gives_the_same_agent_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    network = make_network("explicit", 8)
    torch.nn.init.normal_(network.gains.weight)
    save_agent(tmp_path / "a.pt", network, ClickCard(0.02, {"data": "toy"}))
    again = load_agent(tmp_path / "a.pt")
    assert again.card == ClickCard(0.02, {"data": "toy"}) and again.network.kind == "explicit"
    episode, start = _started()
    ours, theirs = (LearnedAgent(one).propose(episode, start) for one in (network, again.network))
    assert [one.click for one in ours] == [one.click for one in theirs]
    with pytest.raises(ModelError, match="no such checkpoint; train one with `gpoa train clicks`"):
        load_agent(tmp_path / "b.pt")
    (tmp_path / "b.pt").write_bytes(b"no")
    with pytest.raises(ModelError, match="damaged"):
        load_agent(tmp_path / "b.pt")


def test_the_decoders_other_masks_take_part() -> None:
    class Generous(ToySegmenter):
        """Its third mask is the whole object; SAM's rule takes another one."""

        def decode(self, embedding, prompts, multimask_output=False, all_outputs=False):  # type: ignore[no-untyped-def]
            made = super().decode(embedding, prompts, multimask_output, all_outputs)
            made.low_res_logits[:, 2] = np.where(SCENE.wanted, 7.0, -7.0)
            made.iou_predictions[:, 2] = 0.1
            return made

    episode = ClickEpisode(Generous(), SCENE.embedding, SCENE.prior, feed_back=False)
    first = oracle_click(SCENE.wanted, episode.begin().mask, episode.size)
    assert first is not None
    start = episode.click(episode.begin(), first)
    assert dice(start.mask, SCENE.wanted) < 0.8
    result = run_agent(PriorAgent(), episode, start, 3)
    assert dice(result.after(1).mask, SCENE.wanted) == 1.0 and result.after(0) is start
    assert result.best.clicks == start.clicks and result.best.iou == pytest.approx(0.1)
