"""Which outline an object has: an estimate of the IoU with a true object, from the prior, the segmenter and the sizes
that the reference shows. No ground truth of the image is looked at.

The expected IoU of a mask (`gpoa.search.posterior`) is taken over the territories that the mask claims: its own seed's,
and each of which it covers more than half of the prior's mass. So a mask over two objects that the watershed parts is
compared with both together, one over half an object with the whole, and each of the readings has a score of its own.

Legend: `N` seeds, `M` outlines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpoa.instances.decoding import Outline
from gpoa.instances.seeds import Seeds
from gpoa.instances.sizes import SizeRange

CLAIMED = 0.5
"""A mask claims a territory of whose mass it covers more than this."""


@dataclass(frozen=True)
class ObjectWeights:
    """How what is known of an outline makes its score; fitted on rendered training images.

    Args:
        constant: added.
        expected: weight of the expected IoU under the prior.
        iou: weight of the segmenter's own estimate.
        stability: weight of the segmenter's stability score.
        size: weight of how usual the size is, in [0, 1].
        solid: weight of the share of the mask's bounding ellipse that it fills.
        cell: added for a watershed cell, which the prior judges too kindly, being its own.
        claims: for each territory claimed beyond the first, up to three.
    """

    constant: float = 0.0
    expected: float = 0.8
    iou: float = 0.15
    stability: float = 0.0
    size: float = 0.1
    solid: float = 0.0
    cell: float = 0.12
    claims: float = 0.0


WEIGHTS = ObjectWeights()


def evidence(outlines: Sequence[Outline], seeds: Seeds, probability: np.ndarray, sizes: SizeRange) -> np.ndarray:
    """What is known of outlines.

    Args:
        outlines: M outlines on the grid.
        seeds: on the same grid.
        probability: [H, W] float in [0, 1], the prior.
        sizes: of the reference's objects, in cells of the grid.

    Returns:
        [M, 7] float64: expected IoU, the segmenter's IoU and stability, fit of the size, solidity, 1 for a cell,
        territories claimed beyond the first.
    """
    count = len(seeds.xy) + 1
    mass = np.bincount(seeds.territories.reshape(-1), probability.reshape(-1), minlength=count)
    table = np.zeros((len(outlines), 7))
    for row, one in zip(table, outlines, strict=True):
        p, zones = probability[one.window][one.mask], seeds.territories[one.window][one.mask]
        shared, area = np.bincount(zones, p, minlength=count), len(p)
        claimed = shared > CLAIMED * mass
        claimed[[0, one.seed + 1]] = False, True
        union = area + mass[claimed].sum() - shared[claimed].sum()
        row[:3] = shared.sum() / max(union, 1e-6), one.iou, one.stability
        row[3:] = sizes.fit(np.array(area)), solidity(one.mask), one.is_cell, min(3, claimed.sum() - 1)
    return table


def solidity(mask: np.ndarray) -> float:
    """Area over that of the ellipse with the same second moments, in (0, 1]: low for clumps and ragged outlines."""
    y, x = np.nonzero(mask)
    if len(y) < 8:
        return 1.0
    covariance = np.cov(np.stack([y, x])) + np.eye(2) / 12
    return float(min(1.0, len(y) / (4 * np.pi * np.sqrt(max(np.linalg.det(covariance), 1e-9)))))


def scores(table: np.ndarray, weights: ObjectWeights = WEIGHTS) -> np.ndarray:
    """[M] float, the estimates in [0, 1], from what `evidence` gave."""
    named = (
        weights.expected, weights.iou, weights.stability, weights.size, weights.solid, weights.cell, weights.claims
    )  # fmt: skip
    return np.clip(weights.constant + table @ np.array(named), 0, 1)
