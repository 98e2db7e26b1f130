"""Outline scores by hand, against brute force, and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from gpoa.evaluation import boundary
from gpoa.evaluation.boundary import BoundaryScores, score_boundary

MASKS = hnp.arrays(np.bool_, (6, 9))
DIAGONAL = math.hypot(6, 9)


def mask_of(*rows: str) -> np.ndarray:
    """[H, W] bool; # is foreground."""
    return np.array([[cell == "#" for cell in row] for row in rows])


def rectangle(size: tuple[int, int], top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """A mask of one rectangle; bottom and right are outside it."""
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def brute_surface(mask: np.ndarray) -> np.ndarray:
    """[S, 2] mask pixels with a 4-neighbour outside, pixel by pixel."""
    found = []
    for y, x in np.argwhere(mask):
        neighbours = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [0 <= v < mask.shape[0] and 0 <= u < mask.shape[1] and mask[v, u] for v, u in neighbours]
        if not all(inside):
            found.append((y, x))
    return np.array(found)


def brute_region(mask: np.ndarray, width: int) -> np.ndarray:
    """Mask pixels with a pixel outside the mask in the (2 width + 1) square around them."""
    padded = np.pad(mask, width)
    found = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        found[y, x] = not padded[y : y + 2 * width + 1, x : x + 2 * width + 1].all()
    return found


def brute_scores(a: np.ndarray, b: np.ndarray, width: int) -> BoundaryScores:
    """The scores from all pairs of surface pixels."""
    if not a.any() or not b.any():
        equal = a.any() == b.any()
        return BoundaryScores(1.0, 0.0, 0.0) if equal else BoundaryScores(0.0, *[math.hypot(*a.shape)] * 2)
    table = cdist(brute_surface(a), brute_surface(b))
    there, back = table.min(axis=1), table.min(axis=0)
    regions = brute_region(a, width), brute_region(b, width)
    iou = (regions[0] & regions[1]).sum() / (regions[0] | regions[1]).sum()
    worst = max(np.percentile(there, 95), np.percentile(back, 95))
    return BoundaryScores(iou, worst, np.concatenate([there, back]).mean())


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (["##..", "##.."], ["##..", "##.."], (1, 0, 0)),  # equal
        (["#...", "...."], ["...#", "...."], (0, 3, 3)),  # one pixel each, three columns apart
        (["#...", "...."], ["....", ".#.."], (0, math.sqrt(2), math.sqrt(2))),  # across a corner
        (["....", "...."], ["....", "...."], (1, 0, 0)),  # both empty
        (["....", "...."], ["#...", "...."], (0, math.sqrt(20), math.sqrt(20))),  # nothing found: the diagonal
        (["#...", "...."], ["....", "...."], (0, math.sqrt(20), math.sqrt(20))),  # something where nothing is
        # From the prediction 0 and 0; back 0, 0 and 1, whose 95th percentile is 0.9 of the way from 0 to 1.
        (["##..", "...."], ["###.", "...."], (2 / 3, 0.9, 1 / 5)),
    ],
)
def test_by_hand(prediction: list[str], truth: list[str], expected: tuple) -> None:
    """Boundary IoU, HD95 and ASSD of masks that fit on a line."""
    a, b = mask_of(*prediction), mask_of(*truth)
    assert score_boundary(a, b) == pytest.approx(expected)
    assert (boundary.boundary_iou(a, b), boundary.hd95(a, b), boundary.assd(a, b)) == pytest.approx(expected)


def test_nested_squares() -> None:
    """A 10 x 10 square, and the 8 x 8 one a pixel inside it, in 50 x 40: d = round(0.02 * 64.03) = 1."""
    outer, inner = rectangle((50, 40), 10, 10, 20, 20), rectangle((50, 40), 11, 11, 19, 19)
    assert boundary.boundary_width((50, 40)) == 1
    scores = score_boundary(inner, outer)
    assert scores.boundary_iou == 0  # rings of one pixel that do not touch
    # From inside, all 28 pixels are 1 away; from outside, 32 are and the 4 corners sqrt(2), more than 5 % of 36.
    assert scores.assd == pytest.approx((28 + 32 + 4 * math.sqrt(2)) / (28 + 36))
    assert scores.hd95 == pytest.approx(math.sqrt(2))
    # With d = 2 the rings are 100 - 36 = 64 and 64 - 16 = 48 pixels; 64 - 36 = 28 in both.
    assert boundary.boundary_iou(inner, outer, ratio=2 / math.hypot(50, 40)) == pytest.approx(28 / (64 + 48 - 28))


def test_hd95_is_the_larger_direction() -> None:
    """The prediction misses a far pixel; pooled with the long common outline it would be hidden."""
    prediction = rectangle((40, 40), 0, 0, 1, 30)
    truth = prediction.copy()
    truth[30, 0:3] = True  # 3 of 33 true surface pixels, more than 5 %; of all 63, less
    assert boundary.hd95(prediction, truth) == 30
    there, back = boundary.surface_distances(prediction, truth)
    assert np.percentile(np.concatenate([there, back]), 95) == 0
    assert boundary.hd95(truth, prediction) == 30


def test_hd95_forgives_a_twentieth() -> None:
    """One outlying pixel of 41."""
    truth = rectangle((60, 60), 0, 0, 1, 40)
    prediction = truth.copy()
    prediction[50, 50] = True
    assert boundary.hd95(prediction, truth) == 0
    assert boundary.assd(prediction, truth) == pytest.approx(math.hypot(50, 11) / 81)


def test_image_border_is_outside() -> None:
    """A full mask has its frame as boundary and surface, as in the reference code of Cheng et al."""
    full = np.ones((5, 7), bool)
    frame = ~np.pad(np.ones((3, 5), bool), 1)
    assert np.array_equal(boundary.boundary_region(full, 1), frame)
    assert np.array_equal(boundary.surface(full), frame)
    assert score_boundary(full, full) == (1, 0, 0)
    assert score_boundary(full, np.zeros((5, 7), bool)) == (0, math.hypot(5, 7), math.hypot(5, 7))


def test_region_is_square_and_surface_is_not() -> None:
    """A pixel that sees the outside only across a corner is in the region but not in the surface."""
    mask = np.ones((5, 5), bool)
    mask[1, 1] = False
    assert boundary.boundary_region(mask, 1)[2, 2]
    assert not boundary.surface(mask)[2, 2]


@pytest.mark.parametrize(
    ("size", "width"), [((3, 4), 1), ((30, 40), 1), ((60, 80), 2), ((1024, 1024), 29), ((480, 640), 16)]
)
def test_width(size: tuple[int, int], width: int) -> None:
    """2 % of the diagonal, rounded, at least a pixel."""
    assert boundary.boundary_width(size) == width


@given(MASKS, MASKS, st.integers(1, 4))
def test_against_brute_force(a: np.ndarray, b: np.ndarray, width: int) -> None:
    """All pairs of pixels; two ways to the same numbers."""
    ratio = width / DIAGONAL
    assert score_boundary(a, b, ratio) == pytest.approx(brute_scores(a, b, width))
    assert boundary.boundary_iou(a, b, ratio) == pytest.approx(brute_scores(a, b, width).boundary_iou)


@pytest.mark.parametrize("share", [0.0, 10.0])
def test_tree_and_transform_agree(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to the distances, forced."""
    monkeypatch.setattr(boundary, "TREE_SHARE", share)
    rng = np.random.default_rng(3)
    a, b = rng.random((30, 41)) > 0.7, rng.random((30, 41)) > 0.8
    assert score_boundary(a, b) == pytest.approx(brute_scores(a, b, 1))


@given(MASKS, MASKS)
def test_properties(a: np.ndarray, b: np.ndarray) -> None:
    """Symmetric, bounded, best for equal masks, and the same wherever the masks lie."""
    scores = score_boundary(a, b)
    assert scores == pytest.approx(score_boundary(b, a))
    assert 0 <= scores.boundary_iou <= 1 and 0 <= scores.assd <= DIAGONAL and 0 <= scores.hd95 <= DIAGONAL
    assert score_boundary(a, a) == (1, 0, 0)
    if a.any() and b.any():
        shifted = [np.pad(mask, ((5, 0), (0, 3))) for mask in (a, b)]
        moved = score_boundary(*shifted, ratio=1 / math.hypot(11, 12))
        assert moved == pytest.approx(score_boundary(a, b, 1 / DIAGONAL))


def test_integers_count_as_foreground() -> None:
    """A 0/255 mask is that mask; nothing is changed in place."""
    mask = np.array([[0, 255, 255], [0, 0, 7]], np.uint8)
    before = mask.copy()
    assert score_boundary(mask, mask > 0) == (1, 0, 0)
    assert np.array_equal(mask, before)


def test_refused() -> None:
    """Sizes that differ, probabilities, a width of nothing, no surface."""
    mask = np.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r"\(2, 3\) but truth is \(3, 2\)"):
        score_boundary(mask, mask.T)
    with pytest.raises(ValueError, match="threshold it first"):
        boundary.hd95(mask * 0.5, mask)
    for ratio in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            boundary.boundary_iou(mask, mask, ratio)
    with pytest.raises(ValueError, match="no surface"):
        boundary.surface_distances(mask, ~mask)
