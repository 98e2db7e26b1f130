"""Forward matches, cycle check and pruning, worked out by hand on angles."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.matching.nearest import forward_matches, prune_opposites
from gpoa.matching.reference import Reference
from tests.matching.builders import on_circle


def _reference(foreground: list[float], background: list[float]) -> Reference:
    labels = np.repeat([1.0, 0.0], [len(foreground), len(background)]).astype(np.float32)
    return Reference(on_circle(*foreground, *background), labels)


@pytest.mark.parametrize(
    ("foreground", "background", "targets", "cycle", "positive", "negative"),
    [
        # 0 -> 2, 10 -> 12; both 90 and 100 -> 88, which counts once; nothing reaches 50 and 180.
        ([0, 10], [90, 100], [2, 12, 50, 88, 180], False, [0, 1], [3]),
        # 40 and 60 both reach 50, which is dropped.
        ([0, 40], [60, 90], [0, 50, 90], False, [0], [2]),
        # 30 and 40 both reach 36, which is dropped without the check ...
        ([0, 30], [40, 90], [0, 36, 90, 180], False, [0], [2]),
        # ... and with it leads back to 40 (4 degrees against 6), so it is background.
        ([0, 30], [40, 90], [0, 36, 90, 180], True, [0], [1, 2]),
        # The foreground's only match leads back to the background: no positive at all.
        ([0], [20, 90], [15, 90], True, [], [0, 1]),
    ],
)
def test_forward_matches(
    foreground: list[float],
    background: list[float],
    targets: list[float],
    cycle: bool,
    positive: list[int],
    negative: list[int],
) -> None:
    matches = forward_matches(_reference(foreground, background), on_circle(*targets), cycle_check=cycle)
    assert matches.positive.tolist() == positive
    assert matches.negative.tolist() == negative


@pytest.mark.parametrize(
    ("xy", "labels", "radius", "kept"),
    [
        # A negative at distance 5 stays, one at 4.2 goes.
        ([[0, 0], [3, 4], [-3, -3]], [1, 0, 0], 5.0, [0, 1]),
        # Of two positives at distance 2 the one farther from the negatives stays; so with the negatives.
        ([[0, 0], [2, 0], [10, 0], [12, 0]], [1, 1, 0, 0], 5.0, [0, 3]),
        # One class alone: the earlier of two close points stays.
        ([[0, 0], [1, 0], [9, 0]], [1, 1, 1], 5.0, [0, 2]),
        ([[0, 0], [1, 0], [9, 0]], [0, 0, 0], 5.0, [0, 2]),
        # Indices come ascending although the clearest point (the last) is chosen first.
        ([[50, 0], [0, 0], [80, 0]], [1, 0, 1], 5.0, [0, 1, 2]),
        # A radius of 0 removes nothing, not even equal points.
        ([[0, 0], [0, 0], [0, 0]], [1, 1, 0], 0.0, [0, 1, 2]),
    ],
)
def test_prune_opposites(xy: list, labels: list[int], radius: float, kept: list[int]) -> None:
    assert prune_opposites(np.array(xy, dtype=np.float32), np.array(labels), radius).tolist() == kept


def test_prune_nothing() -> None:
    assert prune_opposites(np.empty((0, 2)), np.empty(0), 3.0).tolist() == []
