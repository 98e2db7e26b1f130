"""Which accepted masks a run learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

One = TypeVar("One")

MOST = 12
"""A run learns from at most so many images: fitting takes time and memory for each."""


def choose_references(accepted: Sequence[One], most: int = MOST) -> list[One]:
    """The first one, which the person chose as the example, and the latest of the others.

    Args:
        accepted: in the order in which they were accepted.
        most: at most so many, at least 1.

    Returns:
        In the same order.
    """
    if len(accepted) <= most:
        return list(accepted)
    return [accepted[0], *accepted[len(accepted) - most + 1 :]]
