"""From nodes, distances and state to PyG's `HeteroData`: a pure projection, nothing is remembered.

Legend: `N` nodes, `P` patches, `E` edges, (h, w) patch grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpoa.graph.distances import DistanceMatrices
from gpoa.graph.nodes import NodeKind, PromptNodes
from gpoa.graph.schema import (
    DISTANCE_EDGES,
    EDGE_FEATURES,
    GROUP_EDGES,
    NODE_FEATURES,
    NODE_TYPES,
    OUTPUT_EDGES,
    REGION_EDGES,
)
from gpoa.matching.relational_maps import IMAGE_MAPS, MASK_MAPS

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

Edges = dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]
"""Edge type -> (edge_index [2, E] int64 within the types, edge_attr [E, 2] float32)."""


def supports(nodes: PromptNodes, output_masks: np.ndarray) -> np.ndarray:
    """Where each node speaks, the outputs by the masks that they hold now.

    Args:
        nodes: the image's nodes.
        output_masks: [4, h, w] share of each patch that each of the decoder's masks covers.

    Returns:
        [N, P] float32, rows sum to 1 (to 0 for an empty mask).
    """
    rows = nodes.support.copy()
    masks = output_masks.reshape(len(output_masks), -1)
    rows[nodes.kind == NodeKind.OUTPUT] = masks / np.maximum(masks.sum(axis=1, keepdims=True), 1e-6)
    return rows


def node_features(
    nodes: PromptNodes, support: np.ndarray, active: np.ndarray, last: int, image_maps: np.ndarray, maps: np.ndarray
) -> np.ndarray:
    """The features of all nodes in one state.

    Args:
        nodes: the image's nodes.
        support: [N, P] from `supports`.
        active: [N] bool.
        last: the node toggled last, or -1.
        image_maps: [len(IMAGE_MAPS), h, w].
        maps: [len(MASK_MAPS), h, w] of the current mask.

    Returns:
        [N, len(NODE_FEATURES)] float32.
    """
    names = ("score", "segmenter_score", "folder_score")
    score, other, folder = (image_maps[IMAGE_MAPS.index(name)].reshape(-1) for name in names)
    mask, logit, reproduced, contrast, segmenter = maps.reshape(len(MASK_MAPS), -1)
    over = support @ np.stack(
        [score, mask, logit / 10, reproduced, contrast, segmenter, other, folder], axis=1
    )  # [N, 8]
    sign = np.where(nodes.kind == NodeKind.NEG, -1.0, 1.0)
    groups = np.flatnonzero(nodes.kind == NodeKind.GROUP)
    on = active.astype(np.float32)
    for group in groups:
        members = nodes.members[group]
        on[group] = active[members].mean()
        sign[group] = sign[members].mean()
    asked = (sign > 0).astype(np.float32)
    columns = {
        "active": on,
        "rank": nodes.rank,
        "level": nodes.level,
        "support": (support > 0).mean(axis=1),
        "score": over[:, 0],
        "mask": over[:, 1],
        "logit": over[:, 2],
        "reproduced": over[:, 3],
        "contrast": over[:, 4],
        "segmenter_contrast": over[:, 5],
        "segmenter_score": over[:, 6],
        "folder_score": over[:, 7],
        "from_folder": nodes.from_folder,
        "disagreement": asked - over[:, 1],
        "sign": sign,
        "toggled_last": np.arange(len(nodes)) == last,
    }
    return np.stack([columns[name] for name in NODE_FEATURES], axis=1).astype(np.float32)


def build_edges(nodes: PromptNodes, distances: DistanceMatrices, neighbours: int) -> Edges:
    """All edges of one image; they do not depend on the state.

    Args:
        nodes: the image's nodes.
        distances: of its points.
        neighbours: how many nearest points of each type a point hears in each relation.

    Returns:
        Every edge type of the schema.
    """
    kinds = {name: np.flatnonzero(nodes.kind == number) for number, name in enumerate(NODE_TYPES)}
    edges: Edges = {}
    for edge in DISTANCE_EDGES:
        edges[edge] = _nearest(kinds[edge[0]], kinds[edge[2]], distances, edge[1], neighbours)
    for edge in REGION_EDGES:
        edges[edge] = _covering(nodes, kinds, edge)
    for edge in GROUP_EDGES:
        edges[edge] = _membership(nodes, kinds, edge)
    for edge in OUTPUT_EDGES:
        edges[edge] = _outputs(nodes, kinds, edge)
    return edges


def to_hetero(nodes: PromptNodes, features: np.ndarray, edges: Edges) -> HeteroData:
    """The graph of one state.

    Args:
        nodes: the image's nodes.
        features: [N, F] from `node_features`.
        edges: from `build_edges`.

    Returns:
        Per node type `x` [n, F], `node` [n] (place among all nodes) and `xy` [n, 2]; per edge type `edge_index` and
        `edge_attr`.
    """
    import torch
    from torch_geometric.data import HeteroData

    data = HeteroData()
    for number, name in enumerate(NODE_TYPES):
        own = np.flatnonzero(nodes.kind == number)
        data[name].x = torch.from_numpy(features[own])
        data[name].node = torch.from_numpy(own)
        data[name].xy = torch.from_numpy(nodes.xy[own])
    for edge, (index, attributes) in edges.items():
        data[edge].edge_index = torch.from_numpy(index)
        data[edge].edge_attr = torch.from_numpy(attributes)
    return data


def _nearest(
    sources: np.ndarray, targets: np.ndarray, distances: DistanceMatrices, relation: str, neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
    """Edges to each target from its nearest sources (itself excluded). Points come first among the nodes, so that their
    place there is their place in the matrices."""
    matrix = distances.feature if relation == "feature" else distances.physical
    block = matrix[np.ix_(targets, sources)].astype(np.float64)
    block[targets[:, None] == sources[None]] = np.inf
    count = min(neighbours, len(sources))
    order = np.argsort(block, axis=1, kind="stable")[:, :count]  # [targets, count]
    target = np.repeat(np.arange(len(targets)), count)
    source = order.reshape(-1)
    kept = np.isfinite(block[target, source]) if len(source) else np.zeros(0, dtype=bool)
    source, target = source[kept], target[kept]
    pairs = targets[target], sources[source]
    attributes = np.stack([distances.feature[pairs], distances.physical[pairs]], axis=1)
    return np.stack([source, target]).astype(np.int64), attributes.astype(np.float32).reshape(-1, EDGE_FEATURES)


def _covering(
    nodes: PromptNodes, kinds: dict[str, np.ndarray], edge: tuple[str, str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Edges between every region and every point."""
    outward = edge[1] == "covers"
    regions, points = (kinds[edge[0]], kinds[edge[2]]) if outward else (kinds[edge[2]], kinds[edge[0]])
    region, point = (part.reshape(-1) for part in np.mgrid[0 : len(regions), 0 : len(points)])
    inside = nodes.support[regions[region], nodes.patch_index[points[point]]] > 0
    attributes = np.stack([inside, nodes.level[regions[region]]], axis=1).astype(np.float32)
    index = np.stack([region, point] if outward else [point, region])
    return index.astype(np.int64), attributes.reshape(-1, EDGE_FEATURES)


def _membership(
    nodes: PromptNodes, kinds: dict[str, np.ndarray], edge: tuple[str, str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Edges between every group and its members of one type."""
    upward = edge[1] == "in"
    points = kinds[edge[0]] if upward else kinds[edge[2]]
    group, point = np.nonzero(nodes.members[np.ix_(kinds["group"], points)])
    index = np.stack([point, group] if upward else [group, point])
    return index.astype(np.int64), np.zeros((len(group), EDGE_FEATURES), dtype=np.float32)


def _outputs(
    nodes: PromptNodes, kinds: dict[str, np.ndarray], edge: tuple[str, str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Edges between every dense prompt and every output."""
    source, target = (part.reshape(-1) for part in np.mgrid[0 : len(kinds[edge[0]]), 0 : len(kinds[edge[2]])])
    dense = kinds["dense"][source if edge[0] == "dense" else target]
    attributes = np.stack([np.zeros(len(dense)), nodes.level[dense]], axis=1).astype(np.float32)
    return np.stack([source, target]).astype(np.int64), attributes.reshape(-1, EDGE_FEATURES)
