"""The segmenter's embedding as features."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.errors import ConfigError
from gpoa.features.debias import noise_basis
from gpoa.features.segmenter_tokens import SegmenterTokens
from gpoa.types import Size


class _Encoder:
    """Tokens that count, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Size, Size]] = []

    def __call__(self, image: np.ndarray, grid_size: Size) -> np.ndarray:
        self.asked.append((image.shape[:2], grid_size))
        angle = np.arange(grid_size[0] * grid_size[1]) / 7 + image.mean() / 100
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_tokens_lie_on_the_grid_of_the_image_size() -> None:
    encoder = _Encoder()
    extractor = SegmenterTokens(encoder, "mobile_sam-1", 448)
    made = extractor.extract(np.zeros((30, 50, 3), np.uint8))
    assert encoder.asked == [((30, 50), (32, 32))]
    assert (made.grid_size, made.patch_size, made.input_size) == ((32, 32), 14, (448, 448))
    assert (made.original_size, made.tokens.shape, made.tokens.dtype) == ((30, 50), (1024, 2), np.float32)
    np.testing.assert_allclose(made.tokens[[0, 7]], [[1, 0], [np.cos(1), np.sin(1)]], atol=1e-3)
    np.testing.assert_array_equal(made.tokens, made.tokens.astype(np.float16))


def test_model_id_names_the_segmenter_and_the_grid() -> None:
    ids = [SegmenterTokens(_Encoder(), *given).model_id for given in [("a", 448), ("b", 448), ("a", 896)]]
    assert ids == ["a#tokens@448", "b#tokens@448", "a#tokens@896"]  # never the name under which the embedding is cached


def test_image_size() -> None:
    with pytest.raises(ConfigError, match="--features.image-size 450 .* 14; take 448 or 462"):
        SegmenterTokens(_Encoder(), "a", 450)


def test_position_directions() -> None:
    basis = noise_basis(SegmenterTokens(_Encoder(), "a", 56))
    np.testing.assert_allclose(basis @ basis.T, np.eye(2), atol=1e-6)
