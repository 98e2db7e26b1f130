"""One prompt set a component, on a 3 x 6 grid of patches of 10 x 10 pixels."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.segmenters.components import MASK_PROMPT_OUTSIDE, component_prompts
from gpoa.types import PointPrompts, ScoreMap

SIZE = (30, 60)  # in the low-resolution frame: 128 x 256, so a patch is about 42.7 pixels
TWO = [[1, -1, -1, -1, -1, -1], [-1, -1, -1, -1, -1, 1], [-1, -1, -1, -1, 1, -1]]  # the right one touches by a corner


def _map(values: list) -> ScoreMap:
    return ScoreMap(np.array(values, np.float32), 0.0, 1.0)


def _prompts(xy: list, labels: list, dense: bool = False) -> PointPrompts:
    return PointPrompts(
        point_coords=np.array(xy, np.float32).reshape(-1, 2),
        point_labels=np.array(labels, np.int64),
        box=np.array([0, 0, 59, 29], np.float32),
        mask_prompt=np.full((256, 256), 2.5, np.float32) if dense else None,
    )


@pytest.mark.parametrize(
    ("xy", "labels", "parts"),
    [
        # Left and right component, the negative goes with both.
        ([[5, 5], [25, 15], [55, 15]], [1, 0, 1], [[[5, 5], [25, 15]], [[25, 15], [55, 15]]]),
        # Two positives of the right one, which holds together over a corner; the left has none and is dropped.
        ([[55, 15], [45, 25]], [1, 1], [[[55, 15], [45, 25]]]),
        # A positive outside of every component is a part of its own, ahead of the others.
        ([[5, 5], [25, 15]], [1, 1], [[[25, 15]], [[5, 5]]]),
        # Pixel 9 belongs to the first patch, pixel 10 to the second.
        ([[9, 9], [10, 9]], [1, 1], [[[10, 9]], [[9, 9]]]),
    ],
)
def test_points_of_each_part(xy: list, labels: list[int], parts: list) -> None:
    made = component_prompts(_prompts(xy, labels), _map(TWO), SIZE)
    assert [part.point_coords.tolist() for part in made] == parts
    assert all(part.box is None and part.mask_prompt is None for part in made)
    whole = dict(zip(map(tuple, xy), labels, strict=True))
    for part in made:
        assert part.point_labels.tolist() == [whole[tuple(point)] for point in part.point_coords.tolist()]


def test_dense_prompt_of_each_part() -> None:
    left, right = component_prompts(_prompts([[5, 5], [55, 15]], [1, 1], dense=True), _map(TWO), SIZE)
    # The patch (0, 0) grown by one patch: rows 0 and 1, columns 0 and 1.
    assert (left.mask_prompt[:70, :70] == 2.5).all()
    assert (left.mask_prompt[100:] == MASK_PROMPT_OUTSIDE).all()
    assert (left.mask_prompt[:, 100:] == MASK_PROMPT_OUTSIDE).all()
    # The patches (1, 5) and (2, 4) grown: rows 0 to 2, columns 3 to 5; nothing in the padding.
    assert (right.mask_prompt[60:128, 145:] == 2.5).all()
    assert (right.mask_prompt[:, :110] == MASK_PROMPT_OUTSIDE).all()
    assert (right.mask_prompt[128:] == MASK_PROMPT_OUTSIDE).all()
    assert left.mask_prompt.dtype == np.float32


def test_a_stray_positive_has_no_dense_prompt() -> None:
    stray, left = component_prompts(_prompts([[5, 5], [25, 25]], [1, 1], dense=True), _map(TWO), SIZE)
    assert stray.mask_prompt is None
    assert left.mask_prompt is not None


def test_without_a_map_each_positive_is_a_part() -> None:
    made = component_prompts(_prompts([[5, 5], [25, 15], [55, 15]], [1, 0, 1], dense=True), None, SIZE)
    assert [part.point_labels.tolist() for part in made] == [[1, 0], [0, 1]]
    assert all(part.mask_prompt is None for part in made)


@pytest.mark.parametrize("labels", [[], [0, 0]])
def test_without_positives_the_set_stays_whole(labels: list[int]) -> None:
    prompts = _prompts([[5, 5], [25, 15]][: len(labels)], labels, dense=True)
    (only,) = component_prompts(prompts, _map(TWO), SIZE)
    assert only is prompts
