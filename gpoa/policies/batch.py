"""Many observations as one batch of tensors; graphs of different size lie side by side, as in PyG's `Batch`.

Legend: `B` observations, `N` nodes of all graphs, `M` nodes of the largest graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gpoa.graph.schema import EDGE_FEATURES, EDGE_TYPES, NODE_TYPES
from gpoa.policies.quality import MapBatch

if TYPE_CHECKING:
    from gpoa.graph.observation import Observation

EdgeType = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """B graphs with their maps.

    Args:
        x: node type -> [n, F].
        graph: node type -> [n] int64, which of the B graphs a node belongs to.
        place: node type -> [n] int64, where the node's action stands among the actions of its graph.
        support: [B, M, P] where each node speaks; zeros for padding.
        edge_index, edge_attr: edge type -> [2, E], [E, 2].
        maps: the current masks.
        legal: [B, M + 1] bool; STOP is always the last column, padding is never legal.
        remaining: [B] share of the horizon that is left.
    """

    x: dict[str, Tensor]
    graph: dict[str, Tensor]
    place: dict[str, Tensor]
    support: Tensor
    edge_index: dict[EdgeType, Tensor]
    edge_attr: dict[EdgeType, Tensor]
    maps: MapBatch
    legal: Tensor
    remaining: Tensor


def collate(observations: Sequence[Observation]) -> GraphBatch:
    """Joins observations; the grids and the numbers of shots must be equal.

    Args:
        observations: B of them.

    Returns:
        The batch.
    """
    x, graph, place, index, attributes = {}, {}, {}, {}, {}
    offsets: dict[str, np.ndarray] = {}
    for number, name in enumerate(NODE_TYPES):
        own = [np.flatnonzero(item.kind == number) for item in observations]
        counts = np.array([len(part) for part in own])
        offsets[name] = np.concatenate([[0], np.cumsum(counts)[:-1]])
        x[name] = _cat([item.features[part] for item, part in zip(observations, own, strict=True)])
        graph[name] = torch.from_numpy(np.repeat(np.arange(len(observations)), counts))
        place[name] = _cat(own)
    for edge in EDGE_TYPES:
        shift = [np.array([[offsets[edge[0]][i]], [offsets[edge[2]][i]]]) for i in range(len(observations))]
        index[edge] = _cat([item.edges[edge][0] + shift[i] for i, item in enumerate(observations)], axis=1)
        attributes[edge] = _cat([item.edges[edge][1] for item in observations]).reshape(-1, EDGE_FEATURES)
    most = max(len(item.kind) for item in observations)
    legal = np.zeros((len(observations), most + 1), dtype=bool)
    support = np.zeros((len(observations), most, observations[0].support.shape[1]), dtype=np.float32)
    for row, item in enumerate(observations):
        support[row, : len(item.kind)] = item.support
        legal[row, : len(item.kind)], legal[row, -1] = item.legal[:-1], item.legal[-1]
    remaining = torch.tensor([item.remaining for item in observations], dtype=torch.float32)
    tensors = map_batch(observations), torch.from_numpy(legal), remaining
    return GraphBatch(x, graph, place, torch.from_numpy(support), index, attributes, *tensors)


def map_batch(observations: Sequence[Observation]) -> MapBatch:
    """The maps and scalars of B observations."""
    return stack_maps(
        [(item.image_maps, item.maps, item.reference_maps, item.scalars, item.differences) for item in observations]
    )


def stack_maps(parts: Sequence[tuple[np.ndarray, ...]]) -> MapBatch:
    """Joins (image maps, mask maps, reference maps [C, S, h, w], scalars, differences) of B masks.

    Returns:
        Float32 tensors, the mask's own maps first.
    """
    target = np.stack([np.concatenate([part[1], part[0]]) for part in parts])
    reference = np.stack([part[2].swapaxes(0, 1) for part in parts])
    scalars, differences = (np.stack([part[place] for part in parts]) for place in (3, 4))
    arrays = (target, reference, scalars, differences)
    return MapBatch(*(torch.from_numpy(np.asarray(array, dtype=np.float32)) for array in arrays))


def _cat(parts: Sequence[np.ndarray], axis: int = 0) -> Tensor:
    return torch.from_numpy(np.concatenate(parts, axis=axis))
