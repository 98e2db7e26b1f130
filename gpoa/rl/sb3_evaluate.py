"""How much an agent of Stable-Baselines3 helps on images whose ground truth is known but not shown to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gpoa.envs.bubble_episode import BubbleEpisode, BubbleState, choose_state
from gpoa.search.bubble_agent import BubblePolicy, visit_bubble

MARGINS = (0.0, 0.01, 0.02, 0.045, 0.1, 1.0)
"""Margins that are tried; with the last one the start is never left."""
HARM = 0.02
"""An image counts as made worse where its IoU falls by more than this."""

Episodes = Mapping[str, Sequence[BubbleEpisode]]
"""Class -> episodes with ground truth."""


class BubbleScore(NamedTuple):
    """One image; IoU in SAM's frame.

    Args:
        name: the class.
        start: of the initial set.
        final: of the mask that is handed out.
        last: of the last set.
        best_seen: of the best mask seen, by the ground truth (an upper bound).
        calls: sets that were visited.
    """

    name: str
    start: float
    final: float
    last: float
    best_seen: float
    calls: int


def play(policy: BubblePolicy, episodes: Episodes, budget: int) -> list[tuple[str, list[BubbleState]]]:
    """(class, visited states) of every episode."""
    return [(name, visit_bubble(policy, one, budget)) for name, own in episodes.items() for one in own]


def score(played: Sequence[tuple[str, list[BubbleState]]], margin: float) -> list[BubbleScore]:
    """What was reached on each image.

    Args:
        played: from `play`.
        margin: the start is left only for a mask whose expected IoU is higher by more than this.
    """
    scores = []
    for name, visited in played:
        truths = [_truth(state) for state in visited]
        final = _truth(choose_state(visited, margin))
        scores.append(BubbleScore(name, truths[0], final, truths[-1], max(truths), len(visited)))
    return scores


def means(scores: Sequence[BubbleScore]) -> dict[str, float]:
    """Means over the images of a class, then over the classes; `worse` is the share of images made worse by more than
    .02."""
    rows: dict[str, list[list[float]]] = {}
    for one in scores:
        worse = float(one.final < one.start - HARM)
        rows.setdefault(one.name, []).append([one.start, one.final, one.last, one.best_seen, one.calls, worse])
    values = np.mean([np.mean(own, axis=0) for own in rows.values()], axis=0)
    return dict(zip(("start", "final", "last", "best_seen", "calls", "worse"), values.tolist(), strict=True))


def fit_margin(policy: BubblePolicy, episodes: Episodes, budget: int) -> float:
    """The margin that gives the highest mean IoU on training episodes; of equal ones the largest, which acts least."""
    played = play(policy, episodes, budget)
    reached = [means(score(played, margin))["final"] for margin in MARGINS]
    return max(zip(reached, MARGINS, strict=True))[1]


def _truth(state: BubbleState) -> float:
    """Agreement of a state's mask with the ground truth; ValueError where it is not known."""
    if state.look.truth is None:
        raise ValueError("the ground truth is known to episodes with `compare` only")
    return state.look.truth
