"""Features and edges of the prompt graph, and its form for PyG."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch_geometric.data import Batch

from gpoa.envs.observation import observe
from gpoa.graph.builder import build_edges, to_hetero
from gpoa.graph.distances import point_distances
from gpoa.graph.nodes import NodeKind
from gpoa.graph.schema import EDGE_TYPES, NODE_FEATURES, NODE_TYPES
from tests.episodes import CONFIG, make_episode, make_features, make_nodes


def test_distances_by_hand():
    nodes, features = make_nodes(), make_features()
    distances = point_distances(nodes, features)
    assert distances.feature.shape == (6, 6)
    assert np.diag(distances.feature).max() == 0
    expected = np.hypot(*(nodes.xy[0] - nodes.xy[1])) / np.hypot(96, 128)
    assert distances.physical[0, 1] == pytest.approx(expected)
    assert distances.feature[0, 1] < 0.3 < distances.feature[0, 3]  # object to object, object to background


def test_nearest_edges_by_hand():
    nodes = make_nodes()
    distances = point_distances(nodes, make_features())
    index, attributes = build_edges(nodes, distances, neighbours=1)["pos", "physical", "pos"]
    nearest = np.where(np.eye(3, dtype=bool), np.inf, distances.physical[:3, :3]).argmin(axis=1)
    np.testing.assert_array_equal(index, [nearest, [0, 1, 2]])
    np.testing.assert_allclose(attributes[:, 1], distances.physical[[0, 1, 2], nearest])


def test_every_type_is_there_even_when_empty():
    nodes = make_nodes(replace(CONFIG, box=False))
    edges = build_edges(nodes, point_distances(nodes, make_features()), 4)
    assert set(edges) == set(EDGE_TYPES)
    assert edges["box", "covers", "pos"][0].shape == (2, 0)
    assert edges["box", "covers", "pos"][1].shape == (0, 2)


def test_graphs_of_different_size_make_a_batch():
    graphs = []
    for config in (CONFIG, replace(CONFIG, box=False, component_groups=0)):
        episode = make_episode(config=config)
        seen = observe(episode, episode.start())
        graphs.append(to_hetero(episode.nodes, seen.features, seen.edges))
    batch = Batch.from_data_list(graphs)
    assert set(batch.node_types) == set(NODE_TYPES) and set(batch.edge_types) == set(EDGE_TYPES)
    assert batch["box"].x.shape == (1, len(NODE_FEATURES))


def test_features_follow_the_state():
    episode = make_episode()
    state = episode.start()
    group = int(np.flatnonzero(episode.nodes.kind == NodeKind.GROUP)[0])
    column = {name: NODE_FEATURES.index(name) for name in NODE_FEATURES}
    before = observe(episode, state).features
    after = observe(episode, episode.step(state, group)).features
    assert before[0, column["active"]] == 1 and after[0, column["active"]] == 0
    assert after[group, column["active"]] == 0 and after[group, column["toggled_last"]] == 1
    assert before[3, column["sign"]] == -1 and before[0, column["sign"]] == 1
    assert before[0, column["mask"]] == 1 and before[3, column["mask"]] == 0  # in the object, outside of it
