"""The policy: heterogeneous message passing over the prompt graph, fed by a small convolutional look at the maps.

Every node starts from its own features and from what the convolutions see where it speaks (its support); GATv2 layers
(Brody et al. 2022) pass messages along all edge types, with the distances as edge features. One logit a node and one
for STOP; the order of the nodes does not matter.

Legend: `B` graphs, `M` nodes of the largest graph, `W` width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GATv2Conv, HeteroConv
from torch_geometric.utils import scatter

from gpoa.graph.schema import EDGE_FEATURES, EDGE_TYPES, NODE_FEATURES, NODE_TYPES
from gpoa.matching.mask_difference import DIFFERENCES
from gpoa.matching.relational_maps import IMAGE_MAPS, MASK_MAPS, SCALARS
from gpoa.policies.batch import GraphBatch
from gpoa.policies.quality import GROUPS, LOGIT, LOGIT_SCALE
from gpoa.runtime.temporary import temporary_files_removed

ILLEGAL = -1e9


class PolicyOutput(NamedTuple):
    """Answers for B states.

    Args:
        logits: [B, M + 1]; illegal actions are at -1e9, STOP is the last column.
        value: [B] expected return.
    """

    logits: Tensor
    value: Tensor


class ActorCritic(nn.Module):
    """Which node to toggle next, or STOP; and what is still to be gained.

    Args:
        width: of the node states.
        layers: rounds of message passing; 0 is a set network without messages.
        map_width: channels of the convolutions.
        stop_bias: initial logit of STOP.
    """

    def __init__(self, width: int = 48, layers: int = 2, map_width: int = 16, stop_bias: float = 0.0) -> None:
        super().__init__()
        channels = len(MASK_MAPS) + len(IMAGE_MAPS)
        self.look = nn.Sequential(
            nn.Conv2d(channels, map_width, 3, padding=1),
            nn.GroupNorm(GROUPS, map_width),
            nn.ReLU(),
            nn.Conv2d(map_width, map_width, 3, padding=2, dilation=2),
            nn.GroupNorm(GROUPS, map_width),
            nn.ReLU(),
        )
        self.enter = nn.ModuleDict({name: nn.Linear(len(NODE_FEATURES) + map_width, width) for name in NODE_TYPES})
        with temporary_files_removed():  # the code that torch_geometric generates for a layer
            self.layers = nn.ModuleList(_messages(width) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.overall = nn.Sequential(
            nn.Linear(width + 3 * map_width + len(SCALARS) + len(DIFFERENCES) + 1, width), nn.ReLU()
        )
        self.toggle = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        self.stop = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        # A nearly uniform start, so that the first rollouts try everything.
        for head in (self.toggle[-1], self.stop[-1], self.value[-1]):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        nn.init.constant_(self.stop[-1].bias, stop_bias)

    def forward(self, batch: GraphBatch) -> PolicyOutput:
        """Answers B states."""
        maps = batch.maps.target.clone()
        maps[:, LOGIT] /= LOGIT_SCALE
        seen = self.look(maps)  # [B, C, h, w]
        states = self._nodes(batch, seen)
        overall = self._overall(batch, seen, maps[:, :1], states)
        logits = torch.full(batch.legal.shape, ILLEGAL, dtype=seen.dtype, device=seen.device)
        for name, state in states.items():
            graph = batch.graph[name]
            logits[graph, batch.place[name]] = self.toggle(torch.cat([state, overall[graph]], dim=1))[:, 0]
        logits[:, -1] = self.stop(overall)[:, 0]
        return PolicyOutput(logits.masked_fill(~batch.legal, ILLEGAL), self.value(overall)[:, 0])

    def _nodes(self, batch: GraphBatch, seen: Tensor) -> dict[str, Tensor]:
        """Node states after message passing: node type -> [n, W]."""
        local = batch.support @ seen.flatten(2).transpose(1, 2)  # [B, M, C]
        states = {}
        for name in NODE_TYPES:
            own = torch.cat([batch.x[name], local[batch.graph[name], batch.place[name]]], dim=1)
            states[name] = functional.relu(self.enter[name](own))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            heard = layer(states, batch.edge_index, edge_attr_dict=batch.edge_attr)
            # HeteroConv leaves out the types that nobody talks to.
            states = {
                name: norm(state + heard[name]) if name in heard else norm(state) for name, state in states.items()
            }
        return states

    def _overall(self, batch: GraphBatch, seen: Tensor, mask: Tensor, states: dict[str, Tensor]) -> Tensor:
        """[B, W] what the whole state looks like."""
        count = len(batch.remaining)
        nodes, graph = torch.cat(list(states.values())), torch.cat([batch.graph[name] for name in states])
        mean = scatter(nodes, graph, dim=0, dim_size=count, reduce="mean")
        inside = (seen * mask).sum(dim=(2, 3)) / (mask.sum(dim=(2, 3)) + 0.5)
        outside = (seen * (1 - mask)).sum(dim=(2, 3)) / ((1 - mask).sum(dim=(2, 3)) + 0.5)
        parts = [
            mean,
            inside,
            outside,
            seen.mean(dim=(2, 3)),
            batch.maps.scalars,
            batch.maps.differences,
            batch.remaining[:, None],
        ]
        return self.overall(torch.cat(parts, dim=1))


def _messages(width: int) -> HeteroConv:
    """One round of messages along every edge type."""
    return HeteroConv(
        {edge: GATv2Conv(width, width, edge_dim=EDGE_FEATURES, add_self_loops=False) for edge in EDGE_TYPES},
        aggr="mean",
    )


def masked_entropy(logits: Tensor, legal: Tensor) -> Tensor:
    """Entropy of the policy over its legal actions.

    Args:
        logits: [B, A].
        legal: [B, A] bool, at least one true in each row.

    Returns:
        [B], in nats; illegal actions contribute nothing.
    """
    log = functional.log_softmax(logits.masked_fill(~legal, ILLEGAL), dim=1)
    return -(log.exp() * log).masked_fill(~legal, 0).sum(dim=1)
