"""Adding and removing points of one image as a decision process, without rewards: the same code trains and serves.

After the bubble-segmentation project that trains Stable-Baselines3's PPO, A2C and DQN on SAM-HQ's prompts: its four
actions, its limits, its horizon. What differs: where a point goes is chosen by the policy among candidates that follow
from the prior and the current mask, where that project draws the place at random; candidates that do not exist are
masked; there is a STOP; one decoder call answers the whole set. No ground truth is reachable from here but through
`compare`, which is given only while training.

Legend: `K` points of a set, `C` = CELLS, cells a side of SAM's padded frame; an action is kind * CANDIDATES + rank,
or STOP.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gpoa.envs.bubble_places import CANDIDATES, CELLS, Kind, Places, additions, from_cells, removals, to_cells
from gpoa.geometry import LOW_RES_SIDE, low_res_size, patch_centers, patch_index_of, rescale_points
from gpoa.types import PointPrompts, Size

STOP = len(Kind) * CANDIDATES
ACTIONS = STOP + 1
LIMIT = 48
"""Points of a label in a set, at most."""
POOL = np.repeat(np.eye(CELLS, dtype=np.float32), LOW_RES_SIDE // CELLS, axis=1) * (CELLS / LOW_RES_SIDE)
"""[C, 256] means over the rows of a cell."""
REMEMBERED = 256
"""Answers of the segmenter that an episode remembers."""

DecodeOne = Callable[[PointPrompts], tuple[np.ndarray, float]]
"""A prompt set of one image -> (mask logits [256, 256] in SAM's padded frame, SAM's predicted IoU)."""


@dataclass(frozen=True, eq=False, slots=True)
class BubbleImage:
    """What is known of one image before the first decoder call.

    Args:
        name: for messages and files.
        original_size: (H, W).
        probability: [256, 256] float32 in [0, 1], the prior in SAM's padded frame, 0 in the padding.
        tokens: [P, D] float32 of unit length, patches in row-major order.
        grid_size: (rows, columns) of the patches, which cover the whole image.
        start: the set to begin with; its box and its dense prompt stay as they are.
        picture: [H, W, 3] uint8 RGB for rendering, or None.
    """

    name: str
    original_size: Size
    probability: np.ndarray
    tokens: np.ndarray
    grid_size: Size
    start: PointPrompts
    picture: np.ndarray | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """What the segmenter answered to one set.

    Args:
        cells: [C, C] float32 share of each cell that the mask covers.
        logits: [C, C] float16 mean logit of each cell.
        packed: the mask [256, 256] in SAM's padded frame, eight cells a byte (`mask`).
        predicted_iou: SAM's own estimate, clipped to [0, 1].
        stability: area at logit +1 by area at logit -1, in [0, 1].
        expected_iou: IoU with the truth that the prior expects (`gpoa.search.posterior`), in [0, 1].
        full: [256, 256] float32 logits; None while training, which does not keep them.
        truth: agreement with the ground truth; None outside of training.
    """

    cells: np.ndarray
    logits: np.ndarray
    packed: np.ndarray
    predicted_iou: float
    stability: float
    expected_iou: float
    full: np.ndarray | None
    truth: float | None

    @property
    def mask(self) -> np.ndarray:
        """[256, 256] bool in SAM's padded frame."""
        return np.unpackbits(self.packed).reshape(LOW_RES_SIDE, LOW_RES_SIDE).astype(bool)


@dataclass(frozen=True, eq=False, slots=True)
class BubbleState:
    """Where an episode stands.

    Args:
        xy: [K, 2] float32 (x, y) in original pixels.
        labels: [K] int64, 1 foreground, 0 background.
        look: the segmenter's answer to this set.
        first: its answer to the start.
        previous: its answer to the set before; `look` itself at the start.
        best: highest expected IoU so far.
        step: actions done, STOP left out.
        kind: of the last action, or None.
        place: [2] (row, column) cell of the last action, or None: it is not undone at once.
        stopped: STOP was chosen.
    """

    xy: np.ndarray
    labels: np.ndarray
    look: Look
    first: Look
    previous: Look
    best: float
    step: int = 0
    kind: Kind | None = None
    place: np.ndarray | None = None
    stopped: bool = False


class BubbleEpisode:
    """One image, its segmenter, and a memory of the sets that were decoded.

    Args:
        image: what is known of it.
        decode: the segmenter on this image.
        horizon: actions after which an episode ends; decoder calls are one more.
        compare: while training, scores mask logits [256, 256] against the ground truth; full logits are then not kept.
    """

    def __init__(
        self,
        image: BubbleImage,
        decode: DecodeOne,
        horizon: int,
        compare: Callable[[np.ndarray], float] | None = None,
    ) -> None:
        self.image, self.name, self.horizon = image, image.name, horizon
        self.decoder_calls = 0
        self.prior_numbers: list[float] | None = None
        self._decode, self._compare = decode, compare
        self._memory: OrderedDict[bytes, Look] = OrderedDict()
        self._places: tuple[BubbleState, Places] | None = None
        self.cells = pooled(image.probability)  # [C, C]
        rows, columns = low_res_size(image.original_size)
        self.inside = np.zeros((CELLS, CELLS), dtype=bool)
        step = LOW_RES_SIDE // CELLS
        self.inside[: -(-rows // step), : -(-columns // step)] = True
        grid = image.grid_size
        centres = rescale_points(patch_centers(grid, 1), grid, image.original_size)
        self.patch_cells = to_cells(centres, image.original_size)  # [P, 2] (row, column)

    def start(self) -> BubbleState:
        """The state that the initial set makes, with STOP legal at once: a policy need not do harm."""
        given = self.image.start
        kept = [np.flatnonzero(given.point_labels == label)[:LIMIT] for label in (1, 0)]
        index = np.sort(np.concatenate(kept))
        xy, labels = given.point_coords[index].astype(np.float32), given.point_labels[index].astype(np.int64)
        look = self._look(xy, labels)
        return BubbleState(xy, labels, look, look, look, look.expected_iou)

    def places(self, state: BubbleState) -> Places:
        """The candidates of every kind of action; their order is the rule that `gpoa.envs.bubble_places` states."""
        if self._places is None or self._places[0] is not state:
            covered, logits = state.look.cells, state.look.logits.astype(np.float32)
            spots = to_cells(state.xy, self.image.original_size)
            taken = spots if state.place is None else np.concatenate([spots, state.place[None]])
            parts = []
            for kind in Kind:
                own = np.flatnonzero(state.labels == kind.label)
                if not kind.adds:
                    parts.append(removals(self.cells, logits, spots, own, state.place, kind))
                elif len(own) < LIMIT:
                    parts.append(additions(self.cells, covered, self.inside, taken, kind))
                else:
                    parts.append(Places.none())
            self._places = state, Places.stack(parts)
        return self._places[1]

    def legal(self, state: BubbleState) -> np.ndarray:
        """[ACTIONS] bool: which actions may be taken; STOP always may."""
        return np.append(self.places(state).legal.reshape(-1), True)

    def step(self, state: BubbleState, action: int) -> BubbleState:
        """The next state.

        Raises:
            ValueError: the action is not legal in this state.
        """
        if state.stopped or not self.legal(state)[action]:
            raise ValueError(f"{self.name}: action {action} is not legal here; see `legal`")
        if action == STOP:
            return replace(state, stopped=True)
        kind, rank = Kind(action // CANDIDATES), action % CANDIDATES
        places = self.places(state)
        cell = places.cells[kind, rank]
        if kind.adds:
            xy = from_cells(cell[None], self.image.original_size)
            xy, labels = np.concatenate([state.xy, xy]), np.append(state.labels, kind.label)
        else:
            kept = np.arange(len(state.labels)) != places.points[kind, rank]
            xy, labels = state.xy[kept], state.labels[kept]
        look = self._look(xy, labels)
        best = max(state.best, look.expected_iou)
        return BubbleState(xy, labels, look, state.first, state.look, best, state.step + 1, kind, cell)

    def ended(self, state: BubbleState) -> bool:
        """STOP was chosen, or the horizon is reached."""
        return state.stopped or state.step >= self.horizon

    def prompts(self, state: BubbleState) -> PointPrompts:
        """The state's prompt set."""
        return replace(self.image.start, point_coords=state.xy, point_labels=state.labels)

    def point_tokens(self, state: BubbleState) -> np.ndarray:
        """[K, D] float32 token of the patch that each point lies in."""
        return self.image.tokens[patch_index_of(state.xy, self.image.grid_size, self.image.original_size)]

    def look_at(self, prompts: PointPrompts) -> Look:
        """The segmenter's answer to any set, for controls too; it is not remembered."""
        logits, predicted_iou = self._decode(prompts)
        self.decoder_calls += 1
        return self._keep(logits, predicted_iou)

    def forget(self) -> None:
        """Frees the memory."""
        self._memory.clear()
        self._places = None

    def _look(self, xy: np.ndarray, labels: np.ndarray) -> Look:
        """The segmenter's answer to a set; each set is decoded once while it is remembered."""
        key = xy.tobytes() + labels.tobytes()
        if key not in self._memory:
            self._memory[key] = self.look_at(replace(self.image.start, point_coords=xy, point_labels=labels))
            if len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        return self._memory[key]

    def _keep(self, logits: np.ndarray, predicted_iou: float) -> Look:
        """What is remembered of an answer."""
        mask, probability = logits > 0, self.image.probability
        shared, area = float(probability[mask].sum()), int(mask.sum())
        wider = int((logits > -1).sum())
        return Look(
            cells=pooled(mask),
            logits=pooled(logits).astype(np.float16),
            packed=np.packbits(mask),
            predicted_iou=float(np.clip(predicted_iou, 0, 1)),
            stability=float((logits > 1).sum()) / wider if wider else 0.0,
            expected_iou=shared / max(float(probability.sum()) + area - shared, 1e-6),
            full=None if self._compare else logits,
            truth=self._compare(logits) if self._compare else None,
        )


def choose_state(visited: list[BubbleState], margin: float) -> BubbleState:
    """The state that is handed out: the one whose mask the prior expects most of, without ground truth.

    Args:
        visited: in order, the start first.
        margin: the start is left only for a state whose expected IoU is higher by more than this.
    """
    best = max(visited, key=lambda state: state.look.expected_iou)
    return best if best.look.expected_iou > visited[0].look.expected_iou + margin else visited[0]


def pooled(frame: np.ndarray) -> np.ndarray:
    """Means over the cells of SAM's padded frame: [256, 256] -> [C, C] float32."""
    return POOL @ np.asarray(frame, dtype=np.float32) @ POOL.T
