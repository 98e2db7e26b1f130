"""Which images stand for a folder: facility location over their features.

A choice of images is worth how well it covers all of them: for every image the cosine of its mean token to the nearest
chosen one's, plus, for a sample of its patches, the cosine of each to the nearest patch of the chosen images. The sum
is submodular, so that the greedy choice is within 1 - 1/e of the best (Nemhauser, Wolsey and Fisher 1978).

Legend: `N` images, `P` patches of an image, `S` sampled patches of an image, `D` feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SAMPLED = 48
"""Patches of an image that want to be covered."""
OFFERED = 256
"""Patches of an image that may cover others'."""


class Suggestion(NamedTuple):
    """One image that was chosen.

    Args:
        place: its number among all images.
        coverage: how well the images chosen so far cover all, 0 (not at all) to 1.
    """

    place: int
    coverage: float


class Gist(NamedTuple):
    """What is kept of an image.

    Args:
        whole: [D] float32, its mean token, of unit length.
        wanted: [S, D] float32, patches that want to be covered.
        offered: [O, D] float32, patches that may cover others.
    """

    whole: np.ndarray
    wanted: np.ndarray
    offered: np.ndarray


def gist_of(tokens: np.ndarray, rng: np.random.Generator) -> Gist:
    """The mean and a sample of an image's patch tokens.

    Args:
        tokens: [P, D] float32, rows of unit length.
        rng: draws the sample.
    """
    mean = tokens.mean(axis=0)
    order = rng.permutation(len(tokens))
    return Gist(mean / max(float(np.linalg.norm(mean)), 1e-9), tokens[order[:SAMPLED]], tokens[order[:OFFERED]])


def affinities(gists: Sequence[Gist]) -> np.ndarray:
    """How well each image covers each place of the others.

    Args:
        gists: N.

    Returns:
        [N, N * (S + 1)] float32: row j is what image j gives to every image's mean and to every sampled patch; an image
        counts as much by its mean as by all its patches together.
    """
    wholes = np.stack([one.whole for one in gists])
    wanted = np.concatenate([one.wanted for one in gists])
    patches = np.stack([(wanted @ one.offered.T).max(axis=1) for one in gists])
    share = wholes.shape[0] / wanted.shape[0]
    return np.concatenate([wholes @ wholes.T, patches * share], axis=1).astype(np.float32)


def choose_covering(gains: np.ndarray, count: int, given: Sequence[int] = ()) -> list[Suggestion]:
    """Greedy facility location.

    Args:
        gains: [N, M] float32, how well image j covers place m; at most 1 for means, see `affinities`.
        count: how many images to choose; at most those that are not given.
        given: images that are chosen already.

    Returns:
        The chosen ones, most useful first.
    """
    best = gains[list(given)].max(axis=0) if len(given) else np.full(gains.shape[1], -np.inf)
    chosen, left = [], [place for place in range(len(gains)) if place not in set(given)]
    for _ in range(min(count, len(left))):
        values = [float(np.maximum(best, gains[place]).sum()) for place in left]
        place = left.pop(int(np.argmax(values)))
        best = np.maximum(best, gains[place])
        chosen.append(Suggestion(place, float(best.sum()) / (2 * len(gains))))
    return chosen
