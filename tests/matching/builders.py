"""Small values for the tests of matching and search."""

from __future__ import annotations

import numpy as np

from gpoa.types import PatchFeatures, ScoreMap, Size


def on_circle(*degrees: float) -> np.ndarray:
    """Unit tokens [N, 2] at the given angles; the cosine similarity falls with the difference of angles."""
    radians = np.deg2rad(np.array(degrees, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def features_of(grid_size: Size, original_size: Size, tokens: np.ndarray | None = None) -> PatchFeatures:
    """Features of which only the geometry matters, unless tokens are given."""
    count = grid_size[0] * grid_size[1]
    return PatchFeatures(
        tokens=np.zeros((count, 2), dtype=np.float32) if tokens is None else tokens,
        grid_size=grid_size,
        patch_size=14,
        input_size=(14 * grid_size[0], 14 * grid_size[1]),
        original_size=original_size,
    )


def score_map_of(values: object, threshold: float = 0.0, scale: float = 1.0) -> ScoreMap:
    return ScoreMap(np.array(values, dtype=np.float32), threshold, scale)
