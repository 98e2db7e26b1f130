"""What a policy sees of a state, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpoa.graph.builder import Edges


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """One state as arrays.

    Args:
        features: [N, len(NODE_FEATURES)] float32.
        support: [N, P] float32 where each node speaks.
        kind: [N] int64 a `NodeKind`.
        xy: [N, 2] float32 original pixels.
        edges: every edge type of the schema.
        image_maps: [len(IMAGE_MAPS), h, w] float32.
        maps: [len(MASK_MAPS), h, w] float32 of the current mask.
        reference_maps: [len(REFERENCE_MAPS), S, h, w] float32.
        scalars: [len(SCALARS)] float32.
        differences: [len(DIFFERENCES)] float32 from the first mask.
        legal: [N + 1] bool, STOP last.
        remaining: share of the horizon that is left, in [0, 1].
    """

    features: np.ndarray
    support: np.ndarray
    kind: np.ndarray
    xy: np.ndarray
    edges: Edges
    image_maps: np.ndarray
    maps: np.ndarray
    reference_maps: np.ndarray
    scalars: np.ndarray
    differences: np.ndarray
    legal: np.ndarray
    remaining: float
