"""Polygons along the pixel edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpoa.datasets.polygons import mask_to_polygons, polygons_to_mask


@pytest.mark.parametrize(
    ("mask", "polygons"),
    [
        ([[0, 0, 0]], []),
        ([[0, 1, 0]], [[1, 0, 2, 0, 2, 1, 1, 1]]),  # one pixel
        ([[1, 1], [1, 1]], [[0, 0, 2, 0, 2, 2, 0, 2]]),  # up to every border
        ([[1, 0], [1, 1]], [[0, 0, 1, 0, 1, 1, 2, 1, 2, 2, 0, 2]]),
        ([[1, 0], [0, 1]], [[0, 0, 1, 0, 1, 1, 0, 1], [1, 1, 2, 1, 2, 2, 1, 2]]),  # a corner does not connect
        (
            [[1, 1, 1], [1, 0, 1], [1, 1, 1]],  # cut at the hole's left side
            [[0, 0, 1, 0, 1, 3, 0, 3], [1, 0, 3, 0, 3, 3, 1, 3, 1, 2, 2, 2, 2, 1, 1, 1]],
        ),
    ],
)
def test_literal(mask: list, polygons: list) -> None:
    """Clockwise from the upper left corner, only where the outline turns."""
    assert mask_to_polygons(np.array(mask, bool)) == polygons
    assert polygons_to_mask(polygons, np.shape(mask)).tolist() == np.array(mask, bool).tolist()


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_pycocotools_decodes_exactly(mask: np.ndarray) -> None:
    """Whatever the mask: its decoder and ours give it back, and no polygon overlaps another."""
    coding = pytest.importorskip("pycocotools.mask")
    polygons = mask_to_polygons(mask)
    assert (polygons_to_mask(polygons, mask.shape) == mask).all()
    if polygons:
        pieces = coding.frPyObjects(polygons, *mask.shape)
        assert (coding.decode(coding.merge(pieces)) == mask).all()
        assert coding.area(pieces).sum() == mask.sum()


@pytest.mark.parametrize(
    "polygon", [[0, 0, 2, 0, 2, 2], [0, 0, 1.5, 0, 1.5, 1, 0, 1], [0, 0, 9, 0, 9, 1, 0, 1], [0, 0]]
)
def test_other_polygons_are_refused(polygon: list) -> None:
    """Slanted, between pixels, outside, no polygon."""
    with pytest.raises(ValueError, match="polygon"):
        polygons_to_mask([polygon], (3, 4))


def test_other_arrays_are_refused() -> None:
    """0/255 would be taken for labels."""
    with pytest.raises(ValueError, match="bool"):
        mask_to_polygons(np.zeros((2, 3)))
