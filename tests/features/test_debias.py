"""Projecting directions out of tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.features.debias import noise_basis, remove_directions
from gpoa.types import PatchFeatures


class _Fake:
    """Four tokens along the third axis and one along the first, whatever the image."""

    model_id = "fake"

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def extract(self, image: np.ndarray) -> PatchFeatures:
        self.images.append(image)
        tokens = np.eye(3, dtype=np.float32)[[2, 2, 2, 0, 2]]
        return PatchFeatures(tokens, (1, 5), 14, (14, 70), image.shape[:2])


def test_noise_basis_is_in_the_order_of_strength() -> None:
    basis = noise_basis(_Fake())
    assert basis.dtype == np.float32
    np.testing.assert_allclose(np.abs(basis), [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-6)


def test_noise_images_are_seeded_and_differ() -> None:
    first, second = _Fake(), _Fake()
    noise_basis(first, size=20), noise_basis(second, size=20)
    assert all(image.shape == (20, 20, 3) and image.dtype == np.uint8 for image in first.images)
    assert all(np.array_equal(a, b) for a, b in zip(first.images, second.images, strict=True))
    assert len({image.tobytes() for image in first.images}) == len(first.images) > 1


@pytest.mark.parametrize(
    ("tokens", "directions", "expected"),
    [
        ([[0.6, 0.8, 0]], [[1, 0, 0]], [[0, 1, 0]]),  # what is left grows to unit length
        ([[0.6, 0.8, 0]], [[0, 0, 1]], [[0.6, 0.8, 0]]),  # nothing along that axis
        ([[0.6, 0, -0.8]], [[1, 0, 0], [0, 1, 0]], [[0, 0, -1]]),  # two directions
        ([[1, 0, 0]], [[1, 0, 0]], [[0, 0, 0]]),  # nothing is left: zero, not nan
        ([[0.6, 0.8, 0]], np.empty((0, 3)), [[0.6, 0.8, 0]]),  # off
    ],
)
def test_remove_directions(tokens: list, directions: list, expected: list) -> None:
    rest = remove_directions(np.array(tokens, np.float32), np.array(directions, np.float32))
    np.testing.assert_allclose(rest, expected, atol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_rest_is_unit_and_orthogonal(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0][:count].astype(np.float32)
    tokens = rng.normal(size=(5, 6)).astype(np.float32)
    given_tokens = tokens.copy()
    rest = remove_directions(tokens, directions)
    np.testing.assert_allclose(np.linalg.norm(rest, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(rest @ directions.T, 0, atol=1e-3)
    np.testing.assert_array_equal(tokens, given_tokens)
