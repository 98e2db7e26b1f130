"""One image as a deterministic decision process, without rewards: the same code trains and serves a policy.

No ground truth is reachable from here; rewards live in `gpoa.envs.rewards` and are given only while training.

Legend: `N` nodes; action n < N toggles node n, action N stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpoa.graph.builder import Edges
from gpoa.graph.nodes import NodeKind, PromptNodes
from gpoa.matching.mask_difference import mask_difference
from gpoa.matching.relational_maps import MaskReading, TargetView
from gpoa.types import MaskPrediction, PointPrompts

Decode = Callable[[Sequence[PointPrompts]], MaskPrediction]
"""B prompt sets of one image -> all four masks of each."""


ASKING = (NodeKind.POS, NodeKind.DENSE, NodeKind.BOX)
"""Kinds of which a set needs at least one."""


@dataclass(frozen=True, eq=False, slots=True)
class PromptState:
    """Where an episode stands.

    Args:
        active: [N] bool.
        step: toggles done.
        last: the node toggled last, or -1.
        stopped: STOP was chosen.
    """

    active: np.ndarray
    step: int = 0
    last: int = -1
    stopped: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Feedback:
    """SAM's four masks for one prompt set, and what the features say of each.

    Args:
        logits: [4, 256, 256] float32 mask logits; None while training, which keeps only what it needs.
        readings: maps and scalars of each mask.
        differences: [4, len(DIFFERENCES)] float32 how each mask differs from the first mask of the image.
        truth: [4] float32 agreement of each mask with the ground truth; None outside of training.
    """

    logits: np.ndarray | None
    readings: tuple[MaskReading, ...]
    differences: np.ndarray
    truth: np.ndarray | None = None

    @property
    def output_masks(self) -> np.ndarray:
        """[4, h, w] float32 share of each patch that each mask covers."""
        return np.stack([reading.maps[0] for reading in self.readings]).astype(np.float32)

    def logits_of(self, output: int) -> np.ndarray:
        """[256, 256] float32 logits of one mask; ValueError while training, which does not keep them."""
        if self.logits is None:
            raise ValueError("an episode that is compared with the ground truth keeps no logits")
        return self.logits[output]

    def truth_of(self, output: int) -> float:
        """Agreement of one mask with the ground truth; ValueError outside of training, where it is not known."""
        if self.truth is None:
            raise ValueError("the ground truth is known to episodes with `compare` only")
        return float(self.truth[output])


class PromptEpisode:
    """One image's nodes, its segmenter and a memory of every set that was decoded.

    Args:
        name: the image's name, for messages and pictures.
        nodes: what may be toggled.
        view: the target as seen from its reference.
        decode: the segmenter on this image.
        horizon: toggles after which an episode ends.
        single_points: points may be toggled one by one, not only in groups.
        compare: while training, scores a mask [256, 256] of logits against the ground truth; the logits are then not
            kept.
    """

    def __init__(
        self,
        name: str,
        nodes: PromptNodes,
        view: TargetView,
        decode: Decode,
        horizon: int,
        single_points: bool = True,
        compare: Callable[[np.ndarray], float] | None = None,
    ) -> None:
        self.name, self.nodes, self.view, self.horizon = name, nodes, view, horizon
        self.single_points = single_points
        self.decoder_calls = 0
        self.edges: Edges | None = None
        self._decode, self._compare = decode, compare
        self._memory: dict[bytes, Feedback] = {}

    @property
    def stop(self) -> int:
        """The action that ends the episode."""
        return len(self.nodes)

    def start(self) -> PromptState:
        """The heuristic set, with STOP legal at once: a policy need not do harm."""
        return PromptState(active=self.nodes.start.copy())

    def legal(self, state: PromptState) -> np.ndarray:
        """[N + 1] bool: which actions may be taken. STOP always may; a toggle may not empty the set, nor undo the last
        one, nor change nothing."""
        allowed = np.append(self.nodes.reachable(state.active), True)
        if not self.single_points:
            allowed[:-1] &= self.nodes.kind >= NodeKind.DENSE
        if state.last >= 0:
            allowed[state.last] = False
        for node in np.flatnonzero(allowed[:-1]):
            after = self.nodes.toggle(state.active, int(node))
            allowed[node] = self._segments(after) and not np.array_equal(after, state.active)
        return allowed

    def step(self, state: PromptState, action: int) -> PromptState:
        """The next state.

        Raises:
            ValueError: the action is not legal in this state.
        """
        if state.stopped or not self.legal(state)[action]:
            raise ValueError(f"{self.name}: action {action} is not legal here; see `legal`")
        if action == self.stop:
            return PromptState(state.active, state.step, state.last, stopped=True)
        return PromptState(self.nodes.toggle(state.active, action), state.step + 1, action)

    def ended(self, state: PromptState) -> bool:
        """STOP was chosen, or the horizon is reached."""
        return state.stopped or state.step >= self.horizon

    def knows(self, active: np.ndarray) -> bool:
        """Whether the set was decoded already, with this output or another."""
        return self.nodes.prompt_key(active) in self._memory

    def feedback(self, active: np.ndarray) -> Feedback:
        """SAM's answer to a set; each prompt set is decoded once."""
        self.decode_all([active])
        return self._memory[self.nodes.prompt_key(active)]

    def decode_all(self, sets: Sequence[np.ndarray]) -> None:
        """Decodes every set that is not known yet, all in one request, which a GPU answers in batches.

        Args:
            sets: [N] bool each. The start is decoded with them where it is not known: the others are compared with it.
        """
        wanted = {self.nodes.prompt_key(active): active for active in (self.nodes.start, *sets)}
        wanted = {key: active for key, active in wanted.items() if key not in self._memory}
        if not wanted:
            return
        prediction = self._decode([self.nodes.to_prompts(active) for active in wanted.values()])
        self.decoder_calls += len(wanted)
        for place, key in enumerate(wanted):
            logits = prediction.low_res_logits[place]
            pairs = zip(logits, prediction.iou_predictions[place], strict=True)
            readings = tuple(self.view.read(mask, float(iou)) for mask, iou in pairs)
            known = self._memory.get(self.nodes.prompt_key(self.nodes.start))
            first = readings if known is None else known.readings  # the start itself comes first
            self._memory[key] = self._keep(logits, readings, first)

    def _keep(self, logits: np.ndarray, readings: tuple[MaskReading, ...], first: tuple[MaskReading, ...]) -> Feedback:
        """What is remembered of an answer, `first` being the readings of the start."""
        consensus = np.mean([reading.maps[0].astype(np.float32) for reading in first], axis=0)
        origin = first[self.nodes.output(self.nodes.start)]
        differences = np.stack(
            [mask_difference(self.view.image_maps, origin, reading, consensus) for reading in readings]
        )
        if self._compare is None:
            return Feedback(logits, readings, differences)
        truth = np.array([self._compare(mask) for mask in logits], dtype=np.float32)
        return Feedback(None, readings, differences, truth)

    def forget(self) -> None:
        """Frees the memory."""
        self._memory.clear()

    def _segments(self, active: np.ndarray) -> bool:
        """Whether a set asks for anything: a positive point, a dense prompt or the box."""
        return bool(np.isin(self.nodes.kind[active], ASKING).any())
