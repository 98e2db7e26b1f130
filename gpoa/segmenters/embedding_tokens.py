"""The segmenter's own image embedding as patch tokens: a second witness beside the feature model.

PerSAM (arXiv:2305.03048) matches in this space alone. Here it only helps to judge masks; on the training classes the
choice among masks gained about twice as much with it as without.
"""

from __future__ import annotations

import math

import numpy as np

from gpoa.types import ImageEmbedding, Size

CELL = 16
"""Pixels of the segmenter's 1024 square that one cell of the embedding covers."""


def embedding_tokens(embedding: ImageEmbedding, grid_size: Size) -> np.ndarray:
    """Resamples an embedding to the patch grid.

    Args:
        embedding: of the image.
        grid_size: (rows, columns) of the patch grid, which covers the whole image.

    Returns:
        [rows * columns, 256] float32, every row of unit length, row-major.
    """
    from torch.nn.functional import interpolate

    rows, columns = (max(1, math.ceil(side / CELL)) for side in embedding.input_size)
    inside = embedding.features[..., :rows, :columns].float().cpu()
    cells = interpolate(inside, grid_size, mode="bilinear", align_corners=False)[0]  # [256, rows, columns]
    tokens = cells.flatten(1).T.numpy()
    return tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12)
