"""The nodes that an agent may switch on and off: points, dense prompts at several thresholds, the box, groups of
points, which of the decoder's four masks is taken, and whether all of these are the reference's or the folder's.

The folder's nodes come from a second score map, in which the first masks of the other images have a say
(`gpoa.matching.folder`). Toggling the folder node replaces the set by the one made from that map, or goes back to the
start; only the nodes of the side that is on can be toggled.

A group stands for some of the points, so that one action can change a mask that no single point would change. All nodes
have a *support*: where on the patch grid they speak about, as weights that sum to one.

Legend: `N` nodes, `P` patches, `K` points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from gpoa.config import GraphConfig
from gpoa.geometry import patch_index_of
from gpoa.matching.candidates import EIGHT_NEIGHBOURS, to_box, to_mask_prompt
from gpoa.types import PointPrompts, ScoreMap, Size

OUTPUTS = 4
"""Masks of one decoder call: the single one and the three of `multimask_output`."""
PREFIXES = (2, 6)
"""Points of one label are grouped by rank: the first 2, the next up to 6, the rest."""


class NodeKind(IntEnum):
    """What a node is; the names of `graph.schema.NODE_TYPES` in the same order."""

    POS = 0
    NEG = 1
    DENSE = 2
    BOX = 3
    GROUP = 4
    OUTPUT = 5
    FOLDER = 6


@dataclass(frozen=True, eq=False, slots=True)
class PromptNodes:
    """All nodes of one image; nothing here changes while an agent acts.

    Args:
        kind: [N] int64, a `NodeKind`.
        xy: [N, 2] float32 (x, y) in original pixels; zeros for nodes that are not points.
        patch_index: [N] int64 row-major; -1 for nodes that are not points.
        rank: [N] float32 in [0, 1): place among the points of its label, 0 for other nodes.
        level: [N] float32: threshold of a dense prompt, in standard deviations of the score map above its own; else 0.
        from_folder: [N] bool: made from the folder's score map.
        members: [N, N] bool: row of a group -> its points; row of the folder -> the set it stands for; other rows are
            empty.
        support: [N, P] float32, rows sum to 1; zeros for outputs, whose masks SAM makes anew for every set.
        start: [N] bool: which nodes are active at first.
        dense_prompts: [D] mask prompts [256, 256], in the order of the dense nodes.
        boxes: [4] float32 (x0, y0, x1, y1) in original pixels each, in the order of the box nodes.
        original_size: (H, W).
    """

    kind: np.ndarray
    xy: np.ndarray
    patch_index: np.ndarray
    rank: np.ndarray
    level: np.ndarray
    from_folder: np.ndarray
    members: np.ndarray
    support: np.ndarray
    start: np.ndarray
    dense_prompts: tuple[np.ndarray, ...]
    boxes: tuple[np.ndarray, ...]
    original_size: Size

    def __len__(self) -> int:
        return len(self.kind)

    def toggle(self, active: np.ndarray, node: int) -> np.ndarray:
        """The active set after one action: a point or the box flips; a dense prompt replaces the one that was on, or
        goes off; an output replaces the one that was on; a group whose points are mostly on goes off, else on; the
        folder replaces the whole set by its own, or goes back to the start.

        Args:
            active: [N] bool.
            node: which node.

        Returns:
            [N] bool, a new array; groups are never active themselves.
        """
        if self.kind[node] == NodeKind.FOLDER:
            return (self.start if active[node] else self.members[node]).copy()
        after = active.copy()
        if self.kind[node] == NodeKind.GROUP:
            members = self.members[node]
            after[members] = 2 * int(active[members].sum()) <= int(members.sum())
            return after
        if self.kind[node] in (NodeKind.DENSE, NodeKind.OUTPUT):
            after[self.kind == self.kind[node]] = False
        after[node] = self.kind[node] == NodeKind.OUTPUT or not active[node]
        return after

    def reachable(self, active: np.ndarray) -> np.ndarray:
        """[N] bool: nodes of the side that is on, the reference's or the folder's, and those that are on no side."""
        folder = bool(active[self.kind == NodeKind.FOLDER].any())
        return (self.from_folder == folder) | (self.kind == NodeKind.FOLDER) | (self.kind == NodeKind.OUTPUT)

    def output(self, active: np.ndarray) -> int:
        """Which of the decoder's four masks a set takes."""
        return int(np.argmax(active[self.kind == NodeKind.OUTPUT]))

    def prompt_key(self, active: np.ndarray) -> bytes:
        """Equal for two sets that differ in the output only: one decoder call answers both."""
        return (active & (self.kind < NodeKind.OUTPUT)).tobytes()

    def with_output(self, active: np.ndarray, output: int) -> np.ndarray:
        """The same set with another output: [N] bool, a new array."""
        after = active.copy()
        after[self.kind == NodeKind.OUTPUT] = np.arange(OUTPUTS) == output
        return after

    def to_prompts(self, active: np.ndarray) -> PointPrompts:
        """The prompt set of the active nodes, points in the order of the nodes."""
        points = np.flatnonzero(active & (self.kind <= NodeKind.NEG))
        dense = np.flatnonzero((active & (self.kind == NodeKind.DENSE))[self.kind == NodeKind.DENSE])
        boxed = np.flatnonzero(active[self.kind == NodeKind.BOX])
        return PointPrompts(
            point_coords=self.xy[points],
            point_labels=(self.kind[points] == NodeKind.POS).astype(np.int64),
            box=self.boxes[boxed[0]] if len(boxed) else None,
            mask_prompt=self.dense_prompts[dense[0]] if len(dense) else None,
            mask_output=self.output(active),
        )


@dataclass(frozen=True, eq=False, slots=True)
class PromptSource:
    """An initial set and the score map that it was made from.

    Args:
        prompts: its points become nodes.
        score_map: from which the dense prompts and the box come.
    """

    prompts: PointPrompts
    score_map: ScoreMap


def build_nodes(
    own: PromptSource, config: GraphConfig, gain: float, size: Size, folder: PromptSource | None = None
) -> PromptNodes:
    """The nodes of one image.

    Args:
        own: what the reference says; its set is what is active at first.
        config: which nodes there are.
        gain: logit of a dense prompt for one standard deviation above the threshold.
        size: (H, W) of the image.
        folder: what the reference and the other images of the folder say, on the same grid; None where there are none.

    Returns:
        The nodes: positives and negatives, dense prompts, boxes, groups, the folder, outputs; of each kind the
        reference's come before the folder's.
    """
    blocks = [_block(source, config, gain, size) for source in (own, folder) if source is not None]
    points = [len(block.labels) for block in blocks]
    counts = np.array(
        [[n, len(one.levels), int(one.box is not None), len(one.groups)] for n, one in zip(points, blocks, strict=True)]
    )
    totals = [*counts.sum(axis=0), int(folder is not None), OUTPUTS]
    kinds = (NodeKind.POS, NodeKind.DENSE, NodeKind.BOX, NodeKind.GROUP, NodeKind.FOLDER, NodeKind.OUTPUT)
    kind = np.repeat(np.array(kinds, dtype=np.int64), totals)
    total, labels = len(kind), np.concatenate([block.labels for block in blocks])
    kind[: len(labels)][labels == 0] = NodeKind.NEG
    # Of each kind, first the reference's nodes, then the folder's; the folder itself and the outputs are nobody's.
    sides = np.array([False, True])[: len(blocks)]
    from_folder = _pad(np.concatenate([np.repeat(sides, column) for column in counts.T]), (total,), bool, False)
    level = np.zeros(total, dtype=np.float32)
    level[kind == NodeKind.DENSE] = [value for block in blocks for value in block.levels]
    members = np.zeros((total, total), dtype=bool)
    shifted = [group + sum(points[:place]) for place, block in enumerate(blocks) for group in block.groups]
    for row, group in zip(np.flatnonzero(kind == NodeKind.GROUP), shifted, strict=True):
        members[row, group] = True
    starts = [_start(kind, level, from_folder == bool(place), block) for place, block in enumerate(blocks)]
    for node in np.flatnonzero(kind == NodeKind.FOLDER):
        members[node] = starts[1]
        members[node, node] = True
    nodes = PromptNodes(
        kind=kind,
        xy=_pad(np.concatenate([block.points for block in blocks]), (total, 2), np.float32, 0),
        patch_index=_pad(np.concatenate([block.patches for block in blocks]), (total,), np.int64, -1),
        rank=_pad(np.concatenate([_ranks(block.labels) for block in blocks]), (total,), np.float32, 0),
        level=level,
        from_folder=from_folder,
        members=members,
        support=np.zeros((total, own.score_map.values.size), dtype=np.float32),
        start=starts[0],
        dense_prompts=tuple(dense for block in blocks for dense in block.dense_prompts),
        boxes=tuple(block.box for block in blocks if block.box is not None),
        original_size=size,
    )
    return replace(nodes, support=_supports(nodes, [block.score_map for block in blocks]))


class _Block(NamedTuple):
    """The nodes that come from one source, before they are put in line."""

    prompts: PointPrompts
    score_map: ScoreMap
    points: np.ndarray
    labels: np.ndarray
    patches: np.ndarray
    levels: tuple[float, ...]
    dense_prompts: list[np.ndarray]
    box: np.ndarray | None
    groups: list[np.ndarray]


def _block(source: PromptSource, config: GraphConfig, gain: float, size: Size) -> _Block:
    """Points (positives first), dense prompts, box and groups of one source."""
    prompts, score_map = source.prompts, source.score_map
    order = np.concatenate([np.flatnonzero(prompts.point_labels == label) for label in (1, 0)])
    points, labels = prompts.point_coords[order], prompts.point_labels[order]
    patches = patch_index_of(points, score_map.values.shape, size) if len(points) else np.empty(0, dtype=np.int64)
    levels = config.levels if prompts.mask_prompt is not None or config.always_dense else ()
    dense_prompts = [_dense(prompts, score_map, value, gain, size) for value in levels]
    box = prompts.box if prompts.box is not None else to_box(score_map, size) if config.box else None
    groups = list(_groups(labels, patches, score_map, config))
    return _Block(prompts, score_map, points, labels, patches, levels, dense_prompts, box, groups)


def _start(kind: np.ndarray, level: np.ndarray, own: np.ndarray, block: _Block) -> np.ndarray:
    """[N] bool the initial set of a source, whose nodes are `own` [N]."""
    start = own & (kind <= NodeKind.NEG)
    start |= own & (kind == NodeKind.DENSE) & (level == 0) & (block.prompts.mask_prompt is not None)
    start |= own & (kind == NodeKind.BOX) & (block.prompts.box is not None)
    start[len(kind) - OUTPUTS + block.prompts.mask_output] = True
    return start


def _dense(prompts: PointPrompts, score_map: ScoreMap, level: float, gain: float, size: Size) -> np.ndarray:
    """The dense prompt at one threshold; at level 0 the initial set's own."""
    if level == 0 and prompts.mask_prompt is not None:
        return prompts.mask_prompt
    return to_mask_prompt(score_map, size, gain, level)


def _groups(labels: np.ndarray, patches: np.ndarray, score_map: ScoreMap, config: GraphConfig) -> Iterator[np.ndarray]:
    """Index arrays into the points: by label and rank, then the positives of each large component."""
    for label in (1, 0):
        own = np.flatnonzero(labels == label)
        for part in np.split(own, [place for place in PREFIXES if place < len(own)]):
            if len(part):
                yield part
    labelled, count = ndimage.label(score_map.foreground, EIGHT_NEIGHBOURS)
    if count < 2:
        return
    component = labelled.reshape(-1)[patches]
    sizes = ndimage.sum_labels(np.ones_like(labelled), labelled, np.arange(1, count + 1))
    for place in np.argsort(-sizes, kind="stable")[: config.component_groups]:
        part = np.flatnonzero((labels == 1) & (component == place + 1))
        if len(part):
            yield part


def _supports(nodes: PromptNodes, score_maps: list[ScoreMap]) -> np.ndarray:
    """[N, P] where each node speaks: its patch, its mask, its box, its members. `score_maps` are the reference's and,
    where there is one, the folder's."""
    grid = score_maps[0].values.shape
    support = np.zeros((len(nodes), score_maps[0].values.size), dtype=np.float32)
    points = np.flatnonzero(nodes.patch_index >= 0)
    support[points, nodes.patch_index[points]] = 1
    for node in np.flatnonzero((nodes.kind == NodeKind.DENSE) | (nodes.kind == NodeKind.FOLDER)):
        source = score_maps[-1 if nodes.kind[node] == NodeKind.FOLDER else int(nodes.from_folder[node])]
        inside = (source.logits >= nodes.level[node]).reshape(-1)
        support[node] = inside / inside.sum() if inside.any() else 1 / inside.size
    for node, box in zip(np.flatnonzero(nodes.kind == NodeKind.BOX), nodes.boxes, strict=True):
        support[node] = _inside(box, grid, nodes.original_size)
    for node in np.flatnonzero(nodes.kind == NodeKind.GROUP):
        support[node] = support[nodes.members[node]].mean(axis=0)
    return support


def _inside(box: np.ndarray, grid: Size, size: Size) -> np.ndarray:
    """[P] weights of the patches in a box."""
    corners = patch_index_of(np.array([box[:2], np.maximum(box[2:] - 1, box[:2])]), grid, size)
    (top, left), (bottom, right) = (divmod(int(corner), grid[1]) for corner in corners)
    inside = np.zeros(grid, dtype=np.float32)
    inside[top : bottom + 1, left : right + 1] = 1
    return (inside / inside.sum()).reshape(-1)


def _ranks(labels: np.ndarray) -> np.ndarray:
    """[K] place among the points of the same label, in [0, 1)."""
    rank = np.zeros(len(labels), dtype=np.float32)
    for label in (1, 0):
        own = labels == label
        rank[own] = np.arange(own.sum()) / max(int(own.sum()), 1)
    return rank


def _pad(values: np.ndarray, shape: tuple[int, ...], dtype: type, fill: float) -> np.ndarray:
    """The values at the head of an array of the given shape."""
    out: np.ndarray = np.full(shape, fill, dtype=dtype)
    out[: len(values)] = values
    return out
