"""Ways to improve a prompt set without ground truth, all under one budget of decoder calls.

Every strategy starts from the initial set, keeps the best set that it has seen, and therefore never ends below its
start by its own judge. The graph agent is to be one more entry of `STRATEGIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpoa.config import StrategyName
from gpoa.search.judges import Judge
from gpoa.types import MaskPrediction, PointPrompts

Decode = Callable[[Sequence[PointPrompts]], MaskPrediction]
"""B prompt sets of one image -> their masks (the first of each set is used)."""

REFINE_LIMIT = 20.0

RELEASE_CAP = (5, 20)
"""Points a label that the released optimiser of GPOA keeps, drawn at random."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One prompt set that was decoded.

    Args:
        name: what was done to get it.
        prompts: the set.
        logits: [256, 256] float32 mask logits.
        predicted_iou: SAM's own estimate.
        score: the judge's score.
    """

    name: str
    prompts: PointPrompts
    logits: np.ndarray
    predicted_iou: float
    score: float


@dataclass(frozen=True, eq=False)
class Optimized:
    """The outcome of a search.

    Args:
        best: the trial with the highest score (the earliest among equals), or the start where none is clearly better.
        trials: all trials in order; the first is the start.
    """

    best: Trial
    trials: list[Trial]


class Search:
    """One image's search: decodes, judges, counts.

    Args:
        decode: the segmenter on this image.
        judge: the score without ground truth.
        budget: decoder calls, the start included.
    """

    def __init__(self, decode: Decode, judge: Judge, budget: int) -> None:
        self.decode, self.judge, self.budget = decode, judge, budget
        self.trials: list[Trial] = []
        self._seen: dict[tuple, Trial] = {}

    @property
    def exhausted(self) -> bool:
        """True once the budget is spent."""
        return len(self.trials) >= self.budget

    @property
    def best(self) -> Trial:
        """The trial with the highest score so far."""
        return max(self.trials, key=lambda trial: trial.score)

    def attempt(self, name: str, prompts: PointPrompts) -> Trial | None:
        """Decodes and judges a set; a set that was seen before costs nothing.

        Returns:
            The trial, or None where the set is empty or the budget is spent.
        """
        key = fingerprint(prompts)
        if key in self._seen:
            return self._seen[key]
        if self.exhausted or (prompts.is_empty and self.trials):
            return None
        prediction = self.decode([prompts])
        logits, predicted_iou = prediction.low_res_logits[0, 0], float(prediction.iou_predictions[0, 0])
        trial = Trial(name, prompts, logits, predicted_iou, self.judge(logits, predicted_iou))
        self.trials.append(trial)
        self._seen[key] = trial
        return trial


def optimize(
    strategy: StrategyName, start: PointPrompts, search: Search, rng: np.random.Generator, margin: float = 0.0
) -> Optimized:
    """Improves a prompt set.

    Args:
        strategy: a key of `STRATEGIES`.
        start: the initial set.
        search: the image's search; its budget bounds the decoder calls.
        rng: source of every random choice.
        margin: the start is left only for a set whose score is higher by more than this (the judges err).

    Returns:
        The best set seen and all trials.
    """
    first = search.attempt("start", start)
    assert first is not None  # a budget is at least one call
    STRATEGIES[strategy](start, search, rng)
    left = search.best.score > first.score + margin
    return Optimized(best=search.best if left else first, trials=search.trials)


def run_none(start: PointPrompts, search: Search, rng: np.random.Generator) -> None:
    """Keeps the initial set."""


def run_random(start: PointPrompts, search: Search, rng: np.random.Generator) -> None:
    """Random subsets of 5 to 20 points a label, as GPOA's released optimiser ends with; the best one is kept."""
    for number in range(search.budget):
        if search.exhausted:
            return
        chosen = [_random_members(start, label, rng) for label in (1, 0)]
        search.attempt(f"random {number}", keep_points(start, np.sort(np.concatenate(chosen))))


def run_best_of_n(start: PointPrompts, search: Search, rng: np.random.Generator) -> None:
    """A fixed list of sets that differ much: fewer points, without the dense prompt, without negatives, refined."""
    for name, prompts in variants(start, search.trials[0].logits):
        if search.exhausted:
            return
        search.attempt(name, prompts)


def run_greedy(start: PointPrompts, search: Search, rng: np.random.Generator) -> None:
    """Toggles one thing at a time (the dense prompt, the box, a third of a label's points), keeping what scores
    higher."""
    current = search.best
    while not search.exhausted:
        before = current
        for name, prompts in toggles(start, current.prompts):
            trial = search.attempt(name, prompts)
            if trial is not None and trial.score > current.score:
                current = trial
                break
        if current is before:
            return


STRATEGIES: dict[str, Callable[[PointPrompts, Search, np.random.Generator], None]] = {
    "none": run_none,
    "random": run_random,
    "best-of-n": run_best_of_n,
    "greedy": run_greedy,
}


def keep_points(prompts: PointPrompts, index: np.ndarray) -> PointPrompts:
    """The same set with only the points of the given indices."""
    return replace(prompts, point_coords=prompts.point_coords[index], point_labels=prompts.point_labels[index])


def keep_first(prompts: PointPrompts, positives: int, negatives: int) -> PointPrompts:
    """The same set with the first so many points of each label (candidates come in an order that makes this
    sensible)."""
    index = [np.flatnonzero(prompts.point_labels == label)[:count] for label, count in ((1, positives), (0, negatives))]
    return keep_points(prompts, np.sort(np.concatenate(index)))


def variants(start: PointPrompts, logits: np.ndarray) -> Iterator[tuple[str, PointPrompts]]:
    """Sets derived from the start, most useful first.

    Args:
        start: the initial set.
        logits: [256, 256] the mask that SAM made of it, given back as the dense prompt of the refined set.

    Yields:
        (name, prompts).
    """
    sparse = replace(start, mask_prompt=None)
    yield "points only", sparse
    yield "2 positives", keep_first(start, 2, len(start.point_labels))
    yield "6 + 6", keep_first(start, 6, 6)
    yield "no negatives", keep_first(start, len(start.point_labels), 0)
    # Rounded as a prompt file rounds it.
    own = np.clip(logits, -REFINE_LIMIT, REFINE_LIMIT).astype(np.float16).astype(np.float32)
    yield "refined", replace(start, mask_prompt=own)
    yield "6 + 6, points only", keep_first(sparse, 6, 6)
    yield "2 positives, points only", keep_first(sparse, 2, len(start.point_labels))
    yield "dense prompt only", keep_first(start, 0, 0)
    yield "2 + 6", keep_first(start, 2, 6)
    yield "6 positives", keep_first(start, 6, len(start.point_labels))
    yield "6 + 0", keep_first(start, 6, 0)


def toggles(start: PointPrompts, current: PointPrompts) -> Iterator[tuple[str, PointPrompts]]:
    """Sets that differ from the current one by one switch.

    Args:
        start: holds everything that may be switched.
        current: a part of it.

    Yields:
        (name, prompts).
    """
    if start.mask_prompt is not None:
        yield "toggle dense", replace(current, mask_prompt=start.mask_prompt if current.mask_prompt is None else None)
    if start.box is not None:
        yield "toggle box", replace(current, box=start.box if current.box is None else None)
    active = _members(start, current)
    for label, name in ((0, "negatives"), (1, "positives")):
        for part, members in enumerate(np.array_split(np.flatnonzero(start.point_labels == label), 3)):
            if len(members):
                switched = active.copy()
                switched[members] = not active[members].any()
                points = keep_points(start, np.flatnonzero(switched))
                yield f"toggle {name} {part}", replace(points, mask_prompt=current.mask_prompt, box=current.box)


def _members(start: PointPrompts, current: PointPrompts) -> np.ndarray:
    """[K] bool: which points of the start are in the current set."""
    keys = {(*map(float, xy), int(label)) for xy, label in zip(current.point_coords, current.point_labels, strict=True)}
    points = zip(start.point_coords, start.point_labels, strict=True)
    return np.array([(*map(float, xy), int(label)) in keys for xy, label in points], dtype=bool)


def _random_members(prompts: PointPrompts, label: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of 5 to 20 random points of a label (all, where there are fewer than 5)."""
    members = np.flatnonzero(prompts.point_labels == label)
    low, high = RELEASE_CAP
    count = int(rng.integers(min(low, len(members)), min(high, len(members)) + 1))
    return rng.choice(members, count, replace=False)


def fingerprint(prompts: PointPrompts) -> tuple:
    """Equal for equal sets whose dense prompts come from the same array."""
    parts = (prompts.point_coords.tobytes(), prompts.point_labels.tobytes())
    box = None if prompts.box is None else prompts.box.tobytes()
    dense = None if prompts.mask_prompt is None else prompts.mask_prompt.tobytes()
    return (*parts, box, dense, prompts.mask_output)
