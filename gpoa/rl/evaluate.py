"""How much a policy helps on images whose ground truth is known but not shown to it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from gpoa.envs.episode import PromptEpisode
from gpoa.policies.graph_policy import GraphPolicy
from gpoa.search.agent import run_agent, visit_by_policy
from gpoa.search.keep_best import Judged, keep_best

HARM = 0.02
"""An image counts as made worse where its IoU falls by more than this."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Means over classes.

    Args:
        start: IoU of the initial sets.
        final: IoU of the sets handed out.
        last: IoU of the sets at which the policy stopped.
        best_seen: IoU of the best mask seen, by the ground truth (an upper bound).
        worse: share of the images made worse than the start by more than 0.02.
        error: mean absolute error of the confidence.
        margin: by which `final` was chosen.
    """

    start: float
    final: float
    last: float
    best_seen: float
    worse: float
    error: float
    margin: float

    def scalars(self) -> dict[str, float]:
        """Names and values for the metric logger."""
        names = ("start", "final", "last", "best_seen", "worse", "error", "margin")
        return {f"eval/{name}": getattr(self, name) for name in names} | {"eval/gain": self.final - self.start}


@dataclass(frozen=True, eq=False)
class _Image:
    judged: list[Judged]
    truth: list[float]
    last: float


def evaluate_policy(
    policy: GraphPolicy, episodes: list[tuple[str, PromptEpisode]], visitor: str, budget: int, margin: float
) -> Evaluation:
    """Lets a policy act on images as at inference and compares what it hands out with the start.

    Args:
        policy: in evaluation mode.
        episodes: (class, episode with ground truth).
        visitor: a key of `search.agent.VISITORS`.
        budget: decoder calls an image.
        margin: see `keep_best`.

    Returns:
        Means over the images of a class, then over the classes.
    """
    images: dict[str, list[_Image]] = defaultdict(list)
    for name, episode in episodes:
        judged = run_agent(policy, episode, budget, visitor, margin).judged
        last = visit_by_policy(policy, episode, budget)[-1].active
        images[name].append(_Image(judged, [_truth(episode, one.active) for one in judged], _truth(episode, last)))
    return _summarize(images, margin)


def _truth(episode: PromptEpisode, active: np.ndarray) -> float:
    return episode.feedback(active).truth_of(episode.nodes.output(active))


def _summarize(images: dict[str, list[_Image]], margin: float) -> Evaluation:
    """Means over images, then classes."""
    rows = defaultdict(list)
    for name, members in images.items():
        for image in members:
            kept = keep_best(image.judged, margin)
            place = next(i for i, one in enumerate(image.judged) if one is kept)
            final, start = image.truth[place], image.truth[0]
            errors = abs(image.judged[place].iou - final)
            rows[name].append((start, final, image.last, max(image.truth), float(final < start - HARM), errors))
    means = np.mean([np.mean(values, axis=0) for values in rows.values()], axis=0)
    start, final, last, best_seen, worse, error = (float(value) for value in means)
    return Evaluation(start, final, last, best_seen, worse, error, margin)
