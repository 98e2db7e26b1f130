"""The data classes that the stages exchange."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpoa.types import Sample


def test_known_mask() -> None:
    assert Sample("a", Path("a.png"), Path("a_mask.png")).known_mask == Path("a_mask.png")
    with pytest.raises(ValueError, match="a.png: has no mask"):
        _ = Sample("a", Path("a.png")).known_mask
