"""Strategies on a decoder that only counts and a score made up from the prompts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa.search.strategies import (
    RELEASE_CAP,
    STRATEGIES,
    Optimized,
    Search,
    keep_first,
    keep_points,
    optimize,
    toggles,
    variants,
)
from gpoa.types import MaskPrediction, PointPrompts

Score = Callable[[PointPrompts], float]


def _prompts(positives: int, negatives: int, dense: bool = True, box: bool = False) -> PointPrompts:
    """Positives at (0, 0), (1, 0), ...; negatives at (0, 9), (1, 9), ..."""
    xy = [[i, 0] for i in range(positives)] + [[i, 9] for i in range(negatives)]
    return PointPrompts(
        point_coords=np.array(xy, np.float32).reshape(-1, 2),
        point_labels=np.repeat([1, 0], [positives, negatives]),
        box=np.array([0, 0, 9, 9], np.float32) if box else None,
        mask_prompt=np.ones((256, 256), np.float32) if dense else None,
    )


class _Decoder:
    """Counts its calls; hands the made-up score on as the predicted IoU."""

    def __init__(self, score: Score) -> None:
        self.score, self.calls = score, 0

    def __call__(self, prompts: Sequence[PointPrompts]) -> MaskPrediction:
        self.calls += 1
        assert len(prompts) == 1
        score = np.array([[self.score(prompts[0])]], np.float32)
        return MaskPrediction(np.zeros((1, 1, 256, 256), np.float32), score)


def _run(strategy: str, start: PointPrompts, score: Score, budget: int, seed: int = 0) -> tuple[Optimized, _Decoder]:
    decoder = _Decoder(score)
    search = Search(decoder, lambda logits, predicted_iou: predicted_iou, budget)
    return optimize(strategy, start, search, np.random.default_rng(seed)), decoder  # type: ignore[arg-type]


def _labels(prompts: PointPrompts) -> tuple[int, int]:
    return int((prompts.point_labels == 1).sum()), int((prompts.point_labels == 0).sum())


def _hashed(seed: int) -> Score:
    """An arbitrary but repeatable score of a set."""

    def score(prompts: PointPrompts) -> float:
        text = prompts.point_coords.tobytes() + bytes([prompts.box is None, seed % 256])
        text += b"" if prompts.mask_prompt is None else prompts.mask_prompt.tobytes()
        return zlib.crc32(text) / 2**32

    return score


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(STRATEGIES)),
    st.integers(1, 14),
    st.integers(0, 255),
    st.integers(0, 12),
    st.integers(0, 12),
    st.booleans(),
)
def test_promises_of_every_strategy(
    strategy: str, budget: int, seed: int, positives: int, negatives: int, box: bool
) -> None:
    start = _prompts(positives, negatives, dense=True, box=box)
    outcome, decoder = _run(strategy, start, _hashed(seed), budget, seed)
    scores = [trial.score for trial in outcome.trials]
    assert decoder.calls == len(scores) <= budget
    assert outcome.trials[0].prompts is start
    assert outcome.best is outcome.trials[int(np.argmax(scores))]  # hence never below the start
    assert len({_hashed(0)(trial.prompts) for trial in outcome.trials}) == len(scores)  # nothing is decoded twice


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"none"}))
def test_the_budget_is_used(strategy: str) -> None:
    assert _run(strategy, _prompts(30, 30), _hashed(1), 5)[1].calls == 5


def test_none_makes_one_call() -> None:
    outcome, decoder = _run("none", _prompts(4, 4), _hashed(0), 99)
    assert decoder.calls == 1
    assert outcome.best.name == "start"


def test_the_start_is_kept_where_nothing_is_better() -> None:
    start = _prompts(12, 12)
    for strategy in STRATEGIES:
        outcome, _ = _run(strategy, start, lambda prompts: float(prompts is start), 8)
        assert outcome.best.prompts is start


def test_the_earliest_of_equals_is_best() -> None:
    for strategy in STRATEGIES:
        assert _run(strategy, _prompts(12, 12), lambda prompts: 0.5, 8)[0].best.name == "start"


def test_a_repeated_set_costs_nothing() -> None:
    decoder = _Decoder(_hashed(0))
    search = Search(decoder, lambda logits, predicted_iou: predicted_iou, budget=2)
    first = search.attempt("first", _prompts(3, 2))
    assert search.attempt("again", _prompts(3, 2)) is first
    assert (decoder.calls, search.exhausted) == (1, False)
    # Each part of a set tells it from the others.
    assert search.attempt("second", _prompts(3, 2, dense=False)) is not first
    assert (decoder.calls, search.exhausted) == (2, True)
    assert search.attempt("third", _prompts(2, 2)) is None
    assert search.attempt("first again", _prompts(3, 2)) is first
    assert decoder.calls == 2


def test_empty_sets_are_not_tried() -> None:
    decoder = _Decoder(_hashed(0))
    search = Search(decoder, lambda logits, predicted_iou: predicted_iou, budget=9)
    search.attempt("start", _prompts(1, 1))
    assert search.attempt("negatives alone", _prompts(0, 3, dense=False)) is None
    assert search.attempt("box alone", _prompts(0, 0, dense=False, box=True)) is not None
    assert decoder.calls == 2


def test_random_is_seeded() -> None:
    def sets(seed: int) -> list[bytes]:
        outcome, _ = _run("random", _prompts(30, 30), _hashed(0), 5, seed)
        return [trial.prompts.point_coords.tobytes() for trial in outcome.trials]

    assert sets(3) == sets(3)
    assert sets(3)[1:] != sets(4)[1:]


def test_random_keeps_5_to_20_points_a_label() -> None:
    outcome, _ = _run("random", _prompts(40, 3), _hashed(0), 60)
    positives, negatives = zip(*(_labels(trial.prompts) for trial in outcome.trials[1:]), strict=True)
    assert (min(positives), max(positives)) == RELEASE_CAP == (5, 20)  # both ends are reached in 59 draws
    assert set(negatives) == {3}  # fewer than five: all of them
    assert all(trial.prompts.mask_prompt is outcome.trials[0].prompts.mask_prompt for trial in outcome.trials)


def test_best_of_n_finds_the_best_variant() -> None:
    outcome, _ = _run("best-of-n", _prompts(12, 12), lambda prompts: float(_labels(prompts)[1] == 0), 99)
    assert _labels(outcome.best.prompts) == (12, 0)


def test_variants_are_parts_of_the_start() -> None:
    start = _prompts(12, 12)
    logits = np.full((256, 256), 30.0, np.float32)
    made = dict(variants(start, logits))
    assert len(made) == len(list(variants(start, logits))) > 0  # names differ
    assert (made.pop("refined").mask_prompt == 20).all()  # SAM's own mask goes back in, clipped
    points = set(zip(map(tuple, start.point_coords.tolist()), start.point_labels.tolist(), strict=True))
    for name, prompts in made.items():
        assert (
            set(zip(map(tuple, prompts.point_coords.tolist()), prompts.point_labels.tolist(), strict=True)) <= points
        ), name
        assert prompts.mask_prompt is None or prompts.mask_prompt is start.mask_prompt, name
        assert not prompts.is_empty, name


def test_greedy_climbs() -> None:
    """Fewer negatives score higher, nothing else matters: the negatives go, the rest stays."""
    outcome, decoder = _run("greedy", _prompts(9, 9, box=True), lambda prompts: -_labels(prompts)[1], 99)
    assert _labels(outcome.best.prompts) == (9, 0)
    assert outcome.best.prompts.mask_prompt is not None
    assert outcome.best.prompts.box is not None
    assert decoder.calls < 99  # it stops at the top


def test_greedy_stops_where_nothing_improves() -> None:
    start = _prompts(9, 9, box=True)
    _, decoder = _run("greedy", start, lambda prompts: float(prompts is start), 99)
    assert decoder.calls == 1 + len(list(toggles(start, start)))


@pytest.mark.parametrize("seed", range(5))
def test_greedy_moves_on_from_improvements_only(seed: int) -> None:
    """Every set tried differs by one switch from the best set before it."""
    outcome, _ = _run("greedy", _prompts(9, 9, box=True), _hashed(seed), 30)
    best = outcome.trials[0]
    for trial in outcome.trials[1:]:
        assert _switches(best.prompts, trial.prompts) == 1, trial.name
        best = trial if trial.score > best.score else best


def _switches(a: PointPrompts, b: PointPrompts) -> int:
    """How many of dense prompt, box and thirds of a label (three points each, of nine) differ."""
    thirds = [{(y, x // 3) for x, y in p.point_coords.astype(int).tolist()} for p in (a, b)]
    assert all(len(p.point_labels) % 3 == 0 for p in (a, b))  # thirds are switched as a whole
    return (
        ((a.box is None) != (b.box is None))
        + ((a.mask_prompt is None) != (b.mask_prompt is None))
        + len(thirds[0] ^ thirds[1])
    )


@pytest.mark.parametrize(
    ("start", "names"),
    [
        (_prompts(1, 0, dense=False), ["toggle positives 0"]),
        (_prompts(1, 1, dense=True), ["toggle dense", "toggle negatives 0", "toggle positives 0"]),
        (_prompts(3, 0, dense=False, box=True), ["toggle box"] + [f"toggle positives {i}" for i in range(3)]),
    ],
)
def test_toggles(start: PointPrompts, names: list[str]) -> None:
    assert [name for name, _ in toggles(start, start)] == names


def test_toggles_switch_back_on() -> None:
    start = _prompts(3, 3, box=True)
    current = replace(keep_points(start, np.array([0, 1, 2, 4, 5])), mask_prompt=None, box=None)
    made = dict(toggles(start, current))
    assert made["toggle dense"].mask_prompt is start.mask_prompt
    assert made["toggle box"].box is start.box
    assert made["toggle negatives 0"].point_coords.tolist() == start.point_coords.tolist()
    assert made["toggle positives 1"].point_coords[:, 0].tolist() == [0, 2, 1, 2]
    assert made["toggle positives 1"].mask_prompt is None  # one switch at a time


@pytest.mark.parametrize(
    ("positives", "negatives", "columns"),
    [
        (2, 1, [0, 1, 0]),
        (0, 2, [0, 1]),
        (9, 9, [0, 1, 2, 0, 1]),  # more than there are
        (0, 0, []),
    ],
)
def test_keep_first(positives: int, negatives: int, columns: list[int]) -> None:
    start = _prompts(3, 2)
    kept = keep_first(start, positives, negatives)
    assert kept.point_coords[:, 0].tolist() == columns
    assert kept.mask_prompt is start.mask_prompt
