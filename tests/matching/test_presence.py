"""How similar a target's best patches are to the reference's foreground."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.matching.presence import presence
from gpoa.matching.reference import Reference
from tests.matching.builders import on_circle


def _cos(*degrees: float) -> float:
    return float(np.cos(np.deg2rad(degrees)).mean())


@pytest.mark.parametrize(
    ("foreground", "targets", "expected"),
    [
        ([0], [60, 120, 180], _cos(60)),  # one foreground patch: the one best target patch
        ([0, 0], [60, 30, 180], _cos(30, 60)),  # two: the mean of the two best
        ([0, 90], [80, 170, 20], _cos(10, 20)),  # each to its nearest foreground patch
        ([0, 0, 0], [60], _cos(60)),  # fewer target patches than foreground ones
        ([0], [180], -1.0),  # as far as can be
    ],
)
def test_presence(foreground: list[float], targets: list[float], expected: float) -> None:
    # A background patch equal to a target must not count.
    labels = np.array([1] * len(foreground) + [0], np.float32)
    reference = Reference(on_circle(*foreground, targets[-1]), labels)
    assert presence(reference, on_circle(*targets)) == pytest.approx(expected, abs=1e-6)


def test_the_object_itself_is_present() -> None:
    reference = Reference(on_circle(*range(0, 80, 2)), np.array([1] * 35 + [0] * 5, np.float32))
    assert presence(reference, reference.tokens) == pytest.approx(1.0)
