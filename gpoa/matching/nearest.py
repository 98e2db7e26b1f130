"""The original matching of GPOA: forward nearest neighbours, and GBMSeg's cycle check and pruning.

GPOA takes for every reference patch the target patch most similar to it; the patches reached from the mask become
positive prompts, those reached from the background negative ones, and patches reached from both are dropped. GBMSeg
(arXiv:2406.16271) keeps a match only if the way back leads to the same class, and prunes points of opposite labels
that lie close together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpoa.matching.reference import Reference


class Matches(NamedTuple):
    """Patches of the target, as row-major indices without repetition."""

    positive: np.ndarray
    negative: np.ndarray


def forward_matches(reference: Reference, tokens: np.ndarray, cycle_check: bool = False) -> Matches:
    """Matches every reference patch to its nearest target patch by cosine similarity.

    Args:
        reference: the labelled patches.
        tokens: [P, D] float32 target tokens, unit length.
        cycle_check: drop a match whose target patch is nearest to a reference patch of the other class.

    Returns:
        Target patches reached from the foreground only and from the background only.
    """
    similarity = reference.tokens @ tokens.T  # [R, P]
    forward = similarity.argmax(axis=1)  # [R]
    labels = reference.labels
    if cycle_check:
        returns = labels[similarity.argmax(axis=0)]  # [P] class that each target patch leads back to
        kept = returns[forward] == labels
        forward, labels = forward[kept], labels[kept]
    positive, negative = np.unique(forward[labels]), np.unique(forward[~labels])
    both = np.intersect1d(positive, negative)
    return Matches(np.setdiff1d(positive, both), np.setdiff1d(negative, both))


def prune_opposites(xy: np.ndarray, labels: np.ndarray, radius: float) -> np.ndarray:
    """GBMSeg's pruning of contradictory and crowded points.

    First, negatives nearer than the radius to a positive are dropped. Then, among points of one class within the radius
    of each other, only the one farthest from the other class stays.

    Args:
        xy: [N, 2] (x, y).
        labels: [N] 1 or 0.
        radius: in the unit of `xy`.

    Returns:
        Indices of the points that stay, ascending.
    """
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    negative = negative[_nearest_distance(xy[negative], xy[positive]) >= radius]
    kept = [
        _thin(xy, positive, _nearest_distance(xy[positive], xy[negative]), radius),
        _thin(xy, negative, _nearest_distance(xy[negative], xy[positive]), radius),
    ]
    return np.sort(np.concatenate(kept))


def _nearest_distance(xy: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[N] distance to the nearest of `others`; infinite where there are none."""
    if not len(others) or not len(xy):
        return np.full(len(xy), np.inf)
    return np.sqrt(((xy[:, None] - others[None]) ** 2).sum(-1)).min(axis=1)


def _thin(xy: np.ndarray, members: np.ndarray, clearance: np.ndarray, radius: float) -> np.ndarray:
    """Greedily keeps the members with the largest clearance, none within the radius of a kept one."""
    kept: list[int] = []
    for index in members[np.argsort(-clearance, kind="stable")]:
        if not kept or np.sqrt(((xy[kept] - xy[index]) ** 2).sum(-1)).min() >= radius:
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)
