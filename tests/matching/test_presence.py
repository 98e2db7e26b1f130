"""How similar a target's best patches are to the reference's foreground."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.matching.presence import presence, sureness
from gpoa.matching.reference import Reference
from gpoa.types import ScoreMap
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


def test_sureness_by_hand() -> None:
    """One pixel of p = .8 and three of .2 among certain background: (.64 + .12) / (.8 + .6)."""
    detail = np.full((256, 256), -60.0, dtype=np.float32)
    detail[0, 0], detail[1, :3] = np.log(4), -np.log(4)
    values = np.zeros((64, 64), dtype=np.float32)
    assert sureness(ScoreMap(values, 0.0, 1.0, detail)) == pytest.approx(0.76 / 1.4, abs=1e-4)
    assert sureness(ScoreMap(values, 0.0, 1.0)) == 0.0
