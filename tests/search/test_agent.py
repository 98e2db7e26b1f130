"""What an agent looks at, and what it hands out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpoa.config import PolicyConfig
from gpoa.graph.nodes import NodeKind
from gpoa.policies.graph_policy import GraphPolicy
from gpoa.search.agent import VISITORS, fixed_order, fixed_sets, node_name, run_agent
from gpoa.search.trials import to_trials
from tests.episodes import make_episode, make_nodes


@pytest.fixture
def policy() -> GraphPolicy:
    torch.manual_seed(0)
    policy = GraphPolicy(PolicyConfig(width=8, layers=1, map_width=4, quality_width=8, members=1, stop_bias=-5.0))
    torch.nn.init.normal_(policy.actor.toggle[-1].weight)
    return policy.eval()


@pytest.mark.parametrize("visitor", list(VISITORS))
@pytest.mark.parametrize("budget", [1, 2, 5])
def test_budget_is_kept(policy: GraphPolicy, visitor: str, budget: int):
    episode = make_episode()
    result = run_agent(policy, episode, budget, visitor, 0.0)
    assert episode.decoder_calls <= budget
    assert result.visits[0].name == "start"
    keys = {episode.nodes.prompt_key(visit.active) for visit in result.visits}
    assert len(keys) == episode.decoder_calls


def test_search_spends_the_whole_budget(policy: GraphPolicy):
    episode = make_episode()
    run_agent(policy, episode, 7, "agent-search", 0.0)
    assert episode.decoder_calls == 7


@pytest.mark.parametrize("visitor", list(VISITORS))
def test_deterministic(policy: GraphPolicy, visitor: str):
    one, two = (run_agent(policy, make_episode(), 5, visitor, 0.0) for _ in range(2))
    assert [visit.name for visit in one.visits] == [visit.name for visit in two.visits]
    np.testing.assert_array_equal(one.chosen.active, two.chosen.active)


def test_an_agent_that_stops_keeps_the_start():
    torch.manual_seed(0)
    policy = GraphPolicy(
        PolicyConfig(width=8, layers=0, map_width=4, quality_width=8, members=1, stop_bias=50.0)
    ).eval()
    result = run_agent(policy, make_episode(), 8, "agent", 0.0)
    assert [visit.name for visit in result.visits] == ["start"]
    assert result.chosen is result.judged[0]  # the gain model has learned nothing: no gain is expected


def test_a_large_margin_keeps_the_start(policy: GraphPolicy):
    policy.quality.relative.weight.copy_(torch.randn(policy.quality.relative.weight.shape))
    result = run_agent(policy, make_episode(), 6, "quality", margin=1.0)
    assert result.chosen is result.judged[0]


def test_fixed_order_has_every_useful_node_once():
    nodes = make_nodes()
    order = fixed_order(nodes, nodes.start)
    kinds = [NodeKind(int(nodes.kind[node])) for node in order]
    assert len(set(order)) == len(order) == 3 + 4 + 1
    assert kinds[0] == NodeKind.DENSE and kinds[-1] == NodeKind.BOX
    assert node_name(nodes, order[0]) in ("dense -0.5", "dense +0.5")


def test_fixed_sets_begin_with_the_folder():
    episode = make_episode(folder=True)
    sets = list(fixed_sets(episode))
    names = [name for name, _ in sets]
    assert names[:2] == ["start", "folder"] and all(name.startswith("folder, ") for name in names[2:9])
    assert len(set(names)) == len(names) and "dense +0.5" in names
    folder = int(np.flatnonzero(episode.nodes.kind == NodeKind.FOLDER)[0])
    for name, state in sets:
        assert state.active[folder] == name.startswith("folder")


def test_fixed_sets_without_a_folder():
    assert all("folder" not in name for name, _ in fixed_sets(make_episode()))


def test_trials_reproduce_the_prompts(policy: GraphPolicy):
    episode = make_episode()
    result = run_agent(policy, episode, 4, "quality", 0.0)
    trials = to_trials(episode, result)
    assert len(trials) == len(result.judged) and trials[0][0].name == "start"
    for trial, judged in trials:
        assert trial.prompts.mask_output == episode.nodes.output(judged.active)
        assert trial.logits.shape == (256, 256)
        assert ("output" in trial.name) == (trial.prompts.mask_output != 0)
