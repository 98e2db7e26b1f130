"""Which sets an agent looks at, under one budget of decoder calls; which of them is kept, the quality head decides.

A set's four outputs come with one call, so the budget counts prompt sets. Nothing here knows a ground truth.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch

from gpoa.envs.episode import PromptEpisode, PromptState
from gpoa.envs.observation import observe
from gpoa.graph.nodes import NodeKind, PromptNodes
from gpoa.policies.actor_critic import ActorCritic
from gpoa.policies.batch import collate
from gpoa.policies.graph_policy import GraphPolicy
from gpoa.search.keep_best import Judged, judge_sets, keep_best

BRANCHES = 4
"""Actions of a state that the best-first search considers."""


@dataclass(frozen=True, eq=False)
class Visit:
    """One prompt set that was decoded.

    Args:
        name: how it was reached, for people.
        active: [N] bool.
    """

    name: str
    active: np.ndarray


@dataclass(frozen=True, eq=False)
class AgentResult:
    """What an agent saw and what it hands out.

    Args:
        visits: sets in the order in which they were decoded, the start first.
        judged: every mask of theirs, with what the quality head expects.
        chosen: the one that is handed out.
    """

    visits: list[Visit]
    judged: list[Judged]
    chosen: Judged


Visitor = Callable[[GraphPolicy, PromptEpisode, int], list[Visit]]


def run_agent(policy: GraphPolicy, episode: PromptEpisode, budget: int, visitor: str, margin: float) -> AgentResult:
    """Looks at prompt sets and keeps the best.

    Args:
        policy: in evaluation mode.
        episode: the image.
        budget: decoder calls, at least 1, the start included.
        visitor: a key of `VISITORS`.
        margin: the start is left only for a mask whose expected gain is larger.

    Returns:
        All that was seen, and the choice; deterministic.
    """
    visits = VISITORS[visitor](policy, episode, budget)
    judged = judge_sets(policy.quality, episode, [visit.active for visit in visits])
    return AgentResult(visits, judged, keep_best(judged, margin))


def visit_by_policy(policy: GraphPolicy, episode: PromptEpisode, budget: int) -> list[Visit]:
    """Takes the most probable action until that is STOP, or the horizon or the budget is reached."""
    state, seen = episode.start(), _Seen(episode, budget)
    seen.add("start", state.active)
    while not episode.ended(state):
        order = _ranked_actions(policy.actor, episode, state)
        action = order[0][1]
        if action == episode.stop:
            break
        state = episode.step(state, action)
        if not seen.add(node_name(episode.nodes, action), state.active):
            break
    return seen.visits


def visit_best_first(policy: GraphPolicy, episode: PromptEpisode, budget: int) -> list[Visit]:
    """Decodes the sets that the policy finds most probable, whatever their depth, until the budget is spent."""
    seen, ticket = _Seen(episode, budget), count()
    queue: list[tuple[float, int, str, PromptState]] = [(0.0, next(ticket), "start", episode.start())]
    while queue:
        cost, _, name, state = heapq.heappop(queue)
        if not seen.add(name, state.active):
            break
        if episode.ended(state):
            continue
        for log_prob, action in _ranked_actions(policy.actor, episode, state)[: BRANCHES + 1]:
            if action != episode.stop:
                step = name_step(name, node_name(episode.nodes, action))
                heapq.heappush(queue, (cost - log_prob, next(ticket), step, episode.step(state, action)))
    return seen.visits


def visit_fixed(policy: GraphPolicy, episode: PromptEpisode, budget: int) -> list[Visit]:
    """The first sets of one list for all images: the control for what the policy adds."""
    seen = _Seen(episode, budget)
    for name, state in fixed_sets(episode):
        if not seen.add(name, state.active):
            break
    return seen.visits


VISITORS: dict[str, Visitor] = {
    "agent": visit_by_policy,
    "agent-search": visit_best_first,
    "quality": visit_fixed,
}


def fixed_sets(episode: PromptEpisode) -> Iterator[tuple[str, PromptState]]:
    """(name, state) of the start, of the folder's set, of all that is one toggle from that, and one toggle from the
    start."""
    start, folders = episode.start(), np.flatnonzero(episode.nodes.kind == NodeKind.FOLDER).tolist()
    yield "start", start
    sides = [(start, "start")]
    for folder in folders:
        other = episode.step(start, folder)
        yield node_name(episode.nodes, folder), other
        if not episode.ended(other):
            sides.insert(0, (other, node_name(episode.nodes, folder)))
    for state, path in sides:
        legal = episode.legal(state)
        for node in fixed_order(episode.nodes, state.active):
            if legal[node]:
                yield name_step(path, node_name(episode.nodes, node)), episode.step(state, node)


def fixed_order(nodes: PromptNodes, active: np.ndarray) -> list[int]:
    """Nodes that change a set, from the most to the least drastic: dense prompts by distance from the one that is on,
    groups, the box."""
    side = nodes.reachable(active)
    dense = [int(node) for node in np.flatnonzero(side & (nodes.kind == NodeKind.DENSE) & ~active)]
    off = [int(node) for node in np.flatnonzero(side & (nodes.kind == NodeKind.DENSE) & active)]
    groups = [int(node) for node in np.flatnonzero(side & (nodes.kind == NodeKind.GROUP))]
    groups.sort(key=lambda node: -int(nodes.members[node].sum()))
    box = [int(node) for node in np.flatnonzero(side & (nodes.kind == NodeKind.BOX))]
    dense.sort(key=lambda node: abs(nodes.level[node]))
    return [node for pair in _interleave(dense, off + groups) for node in pair] + box


def node_name(nodes: PromptNodes, node: int) -> str:
    """What toggling a node is called in reports and pictures."""
    kind = NodeKind(int(nodes.kind[node]))
    if kind == NodeKind.DENSE:
        return f"dense {nodes.level[node]:+.1f}"
    if kind == NodeKind.GROUP:
        members = np.flatnonzero(nodes.members[node])
        label = "positives" if nodes.kind[members[0]] == NodeKind.POS else "negatives"
        return f"{len(members)} {label}"
    if kind == NodeKind.OUTPUT:
        return f"output {int(node - np.flatnonzero(nodes.kind == NodeKind.OUTPUT)[0])}"
    return f"{kind.name.lower()} {int(node)}" if kind <= NodeKind.NEG else kind.name.lower()


def name_step(path: str, step: str) -> str:
    """The name of a set that is one step further."""
    return step if path == "start" else f"{path}, {step}"


class _Seen:
    """Decoded prompt sets within a budget."""

    def __init__(self, episode: PromptEpisode, budget: int) -> None:
        self.episode, self.budget = episode, budget
        self.visits: list[Visit] = []
        self._keys: set[bytes] = set()

    def add(self, name: str, active: np.ndarray) -> bool:
        """Decodes a set; False where the budget does not allow it. A set that was seen is free."""
        key = self.episode.nodes.prompt_key(active)
        if key not in self._keys:
            if len(self._keys) >= self.budget:
                return False
            self._keys.add(key)
        self.episode.feedback(active)
        self.visits.append(Visit(name, active))
        return True


def _ranked_actions(actor: ActorCritic, episode: PromptEpisode, state: PromptState) -> list[tuple[float, int]]:
    """(log-probability, action) of all legal actions, most probable first, equal ones by number."""
    seen = observe(episode, state)
    with torch.inference_mode():
        log_probs = torch.log_softmax(actor(collate([seen])).logits[0], dim=0).tolist()
    ranked = [(log_probs[action], action) for action in np.flatnonzero(seen.legal).tolist()]
    return sorted(ranked, key=lambda pair: (-pair[0], pair[1]))


def _interleave(first: list[int], second: list[int]) -> Iterator[list[int]]:
    """[a0, b0], [a1, b1], …, the longer list's rest alone."""
    for place in range(max(len(first), len(second))):
        yield first[place : place + 1] + second[place : place + 1]
