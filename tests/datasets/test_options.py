"""Choices that contradict each other."""

from __future__ import annotations

import math

import pytest

from gpoa.datasets.options import MaskOptions
from gpoa.errors import ConfigError


def test_contradictions() -> None:
    """One line that names the flags."""
    assert MaskOptions(label=0).label == 0
    with pytest.raises(ConfigError, match="--label and --mask-threshold"):
        MaskOptions(label=1, mask_threshold=0.5)
    with pytest.raises(ConfigError, match="--mask-threshold nan"):
        MaskOptions(mask_threshold=math.nan)
