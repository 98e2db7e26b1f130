"""The segmenter's embedding on the patch grid."""

from __future__ import annotations

import numpy as np
import torch

from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.types import ImageEmbedding


def test_padding_is_left_out_and_rows_have_unit_length():
    features = torch.zeros(1, 256, 64, 64)
    features[0, 0, :32] = 2.0  # the image: upper half of the square
    features[0, 1, 32:] = 9.0  # padding
    embedding = ImageEmbedding(features, input_size=(512, 1024), original_size=(300, 600))
    tokens = embedding_tokens(embedding, (4, 8))
    assert tokens.shape == (32, 256)
    np.testing.assert_allclose(tokens[:, 0], 1)
    assert tokens[:, 1].max() == 0


def test_row_major_order():
    features = torch.zeros(1, 256, 64, 64)
    features[0, 0, :, :32], features[0, 1, :, 32:] = 1.0, 1.0
    tokens = embedding_tokens(ImageEmbedding(features, (1024, 1024), (64, 64)), (2, 2))
    np.testing.assert_array_equal(tokens[:, :2], [[1, 0], [0, 1], [1, 0], [0, 1]])
