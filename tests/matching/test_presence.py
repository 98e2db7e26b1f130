"""The level below which an object counts as absent."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.matching.presence import PRESENCE_LEVEL, presence_threshold


def test_presence_threshold() -> None:
    # Background mean 3, foreground mean 12.
    scores, labels = np.array([2.0, 11.0, 4.0, 13.0]), np.array([False, True, False, True])
    assert presence_threshold(scores, labels) == pytest.approx(3 + PRESENCE_LEVEL * 9)
    assert 3 < presence_threshold(scores, labels) < 12
