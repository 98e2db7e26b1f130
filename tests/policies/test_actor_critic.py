"""The policy network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gpoa.config import PolicyConfig
from gpoa.envs.observation import observe
from gpoa.graph.observation import Observation
from gpoa.policies.actor_critic import ActorCritic, masked_entropy
from gpoa.policies.batch import collate
from gpoa.policies.graph_policy import GraphPolicy, parameter_count
from tests.episodes import CONFIG, make_episode


def _observation(**parts: object) -> Observation:
    episode = make_episode(config=replace(CONFIG, **parts))
    return observe(episode, episode.start())


@pytest.fixture(params=[0, 2], ids=["set network", "two rounds"])
def actor(request: pytest.FixtureRequest) -> ActorCritic:
    torch.manual_seed(0)
    network = ActorCritic(width=16, layers=request.param, map_width=8).eval()
    for head in (network.toggle, network.stop, network.value):
        torch.nn.init.normal_(head[-1].weight)  # not the nearly constant start
    return network


def _permuted(seen: Observation, order: np.ndarray) -> Observation:
    """The same state with its nodes in another order (types mixed, edges renumbered within their types)."""
    kind = seen.kind[order]
    place = {}
    for number in np.unique(kind):
        old = np.flatnonzero(seen.kind == number)
        place[int(number)] = {int(node): new for new, node in enumerate(order[kind == number])}, old
    names = ("pos", "neg", "dense", "box", "group", "output")

    def moved(name: str, index: np.ndarray) -> np.ndarray:
        if not len(index):
            return index
        new, old = place[names.index(name)]
        return np.array([new[int(old[i])] for i in index])

    edges = {
        edge: (np.stack([moved(edge[0], index[0]), moved(edge[2], index[1])]), attributes)
        for edge, (index, attributes) in seen.edges.items()
    }
    legal = np.append(seen.legal[:-1][order], seen.legal[-1])
    parts = {"features": seen.features[order], "support": seen.support[order], "xy": seen.xy[order]}
    return replace(seen, kind=kind, edges=edges, legal=legal, **parts)


def test_order_of_the_nodes_does_not_matter(actor: ActorCritic):
    seen = _observation()
    order = np.random.default_rng(0).permutation(len(seen.kind))
    one, two = (actor(collate([item])) for item in (seen, _permuted(seen, order)))
    torch.testing.assert_close(two.logits[0, :-1], one.logits[0, :-1][torch.from_numpy(order)])
    torch.testing.assert_close(two.logits[0, -1], one.logits[0, -1])
    torch.testing.assert_close(two.value, one.value)
    assert one.logits[0, :-1].std() > 1e-3  # it does tell nodes apart


def test_a_batch_is_the_same_as_one_by_one(actor: ActorCritic):
    seen = [_observation(), _observation(box=False, component_groups=0), _observation(levels=(0.0,))]
    together = actor(collate(seen))
    for row, item in enumerate(seen):
        alone, count = actor(collate([item])), len(item.kind)
        torch.testing.assert_close(together.logits[row, :count], alone.logits[0, :-1])
        torch.testing.assert_close(together.logits[row, -1], alone.logits[0, -1])
        torch.testing.assert_close(together.value[row], alone.value[0])


def test_illegal_actions_and_padding_are_never_taken(actor: ActorCritic):
    batch = collate([_observation(), _observation(levels=(0.0,))])
    probability = torch.softmax(actor(batch).logits, dim=1)
    assert probability[~batch.legal].max() == 0
    assert not batch.legal[1, -3:-1].any()  # padding of the smaller graph


def test_messages_are_heard():
    """With messages, a far node's features change a node's logit; in the set network they act through the mean only."""
    torch.manual_seed(0)
    actor = ActorCritic(width=16, layers=2, map_width=8).eval()
    heads = [parameter for name, parameter in actor.named_parameters() if "layers" in name]
    assert heads and all(parameter.requires_grad for parameter in heads)
    loss = actor(collate([_observation()])).logits[0, 0]
    loss.backward()
    assert sum(float(parameter.grad.abs().sum()) for parameter in heads if parameter.grad is not None) > 0


def test_masked_entropy_by_hand():
    logits = torch.tensor([[0.0, 0.0, 5.0], [1.0, 1.0, 1.0], [2.0, 0.0, 0.0]])
    legal = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    expected = torch.tensor([np.log(2), np.log(3), 0.0], dtype=torch.float32)
    torch.testing.assert_close(masked_entropy(logits, legal), expected)


def test_under_two_million_parameters():
    assert parameter_count(GraphPolicy(PolicyConfig())) < 2_000_000
