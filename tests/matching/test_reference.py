"""Labelled patches from images and masks."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.errors import MaskError
from gpoa.matching.reference import make_reference
from tests.matching.builders import features_of


def _mask(*blocks: tuple[slice, slice]) -> np.ndarray:
    """[20, 30] with true blocks; patches of 10 x 10 on a 2 x 3 grid."""
    mask = np.zeros((20, 30), dtype=bool)
    for block in blocks:
        mask[block] = True
    return mask


FEATURES = features_of((2, 3), (20, 30))


@pytest.mark.parametrize(
    ("mask", "foreground", "labels"),
    [
        # A whole patch and a fifth of its right neighbour.
        (_mask(np.s_[0:10, 10:22]), [0, 1, 0.2, 0, 0, 0], [0, 1, 0, 0, 0, 0]),
        # Exactly half a patch counts.
        (_mask(np.s_[10:15, 0:10]), [0, 0, 0, 0.5, 0, 0], [0, 0, 0, 1, 0, 0]),
        # A tiny object, nowhere half a patch: the patch covered most, not the one beside it.
        (_mask(np.s_[10:14, 15:20], np.s_[10:14, 20:21]), [0, 0, 0, 0, 0.2, 0.04], [0, 0, 0, 0, 1, 0]),
    ],
)
def test_labels(mask: np.ndarray, foreground: list[float], labels: list[int]) -> None:
    reference = make_reference([(FEATURES, mask)])
    assert reference.foreground == pytest.approx(foreground, abs=1e-6)
    assert reference.labels.astype(int).tolist() == labels


def test_shots_are_joined_in_order() -> None:
    first = features_of((2, 3), (20, 30), tokens=np.arange(12, dtype=np.float32).reshape(6, 2))
    second = features_of((1, 2), (10, 40), tokens=np.arange(12, 16, dtype=np.float32).reshape(2, 2))
    right = np.zeros((10, 40), dtype=bool)
    right[:, 20:] = True
    reference = make_reference([(first, _mask(np.s_[0:10, 0:10])), (second, right)])
    assert reference.tokens.tolist() == np.arange(16).reshape(8, 2).tolist()
    assert reference.labels.astype(int).tolist() == [1, 0, 0, 0, 0, 0, 0, 1]


def test_an_empty_shot_beside_a_marked_one_is_background() -> None:
    reference = make_reference([(FEATURES, _mask()), (FEATURES, _mask(np.s_[0:10, 0:10]))])
    assert np.flatnonzero(reference.labels).tolist() == [6]


@pytest.mark.parametrize(
    ("mask", "said"),
    [(_mask(), "mask is empty"), (_mask(np.s_[:, :]), "covers every patch")],
)
def test_unusable_masks(mask: np.ndarray, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        make_reference([(FEATURES, mask)])
