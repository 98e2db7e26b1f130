"""Directions in which tokens tell their position rather than their content.

Tokens of images without content still differ, by position alone. The leading singular directions of the tokens of noise
images span that part; projecting them out of all tokens removes it (the idea of position de-biasing is INSID3's; the
number of directions and their use in a linear classifier were measured here, see DESIGN).
"""

from __future__ import annotations

import numpy as np

from gpoa.features.base import FeatureExtractor

NOISE_IMAGES = 2


def noise_basis(extractor: FeatureExtractor, size: int = 256) -> np.ndarray:
    """Singular directions of the tokens of seeded noise images.

    Args:
        extractor: the feature model; of one that works in tiles, what it runs on each.
        size: side of the noise images in pixels.

    Returns:
        [D, D] float32, orthonormal rows in the order of falling singular value.
    """
    # A token knows its place in what the model saw, which is the tile where an image is cut into tiles.
    extractor = getattr(extractor, "inner", extractor)
    rng = np.random.default_rng(0)
    tokens = []
    for _ in range(NOISE_IMAGES):
        noise = rng.normal(127.5, 60.0, (size, size, 3)).clip(0, 255).astype(np.uint8)
        tokens.append(extractor.extract(noise).tokens)
    stacked = np.concatenate(tokens)  # [NOISE_IMAGES * P, D]
    covariance = (stacked.T @ stacked).astype(np.float64)
    _, directions = np.linalg.eigh(covariance)
    return np.ascontiguousarray(directions[:, ::-1].T, dtype=np.float32)


def remove_directions(tokens: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Projects directions out of tokens and makes every row of unit length again.

    Args:
        tokens: [P, D] float32.
        directions: [C, D] orthonormal rows; C may be 0.

    Returns:
        [P, D] float32.
    """
    rest = tokens - (tokens @ directions.T) @ directions
    return rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6)
