"""Distances between prompt points: what the edges of the graph carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpoa.graph.nodes import PromptNodes
from gpoa.types import PatchFeatures


@dataclass(frozen=True, eq=False, slots=True)
class DistanceMatrices:
    """Distances of all pairs of point nodes.

    Args:
        feature: [K, K] float32 cosine distance of the points' tokens, in [0, 2].
        physical: [K, K] float32 Euclidean distance in the image as a fraction of its diagonal, in [0, 1].
    """

    feature: np.ndarray
    physical: np.ndarray


def point_distances(nodes: PromptNodes, features: PatchFeatures) -> DistanceMatrices:
    """The two matrices of GPOA's graph.

    Args:
        nodes: the prompt nodes; the K points come first.
        features: of the same image, tokens of unit length.

    Returns:
        Feature and physical distances.
    """
    points = np.flatnonzero(nodes.patch_index >= 0)
    tokens = features.tokens[nodes.patch_index[points]]
    feature = np.clip(1 - tokens @ tokens.T, 0, 2)
    np.fill_diagonal(feature, 0)
    xy = nodes.xy[points]
    offset = xy[:, None] - xy[None]  # [K, K, 2]
    physical = np.sqrt((offset**2).sum(axis=-1)) / np.hypot(*nodes.original_size)
    return DistanceMatrices(feature.astype(np.float32), physical.astype(np.float32))
