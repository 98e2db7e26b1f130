"""Which points are offered, and the box and the dense prompt that go with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gpoa.config import CandidatesConfig
from gpoa.matching.candidates import (
    MASK_PROMPT_LIMIT,
    farthest_points,
    make_candidates,
    to_box,
    to_mask_prompt,
    to_prompts,
)
from gpoa.matching.nearest import Matches
from tests.matching.builders import features_of, score_map_of

GRID, SIZE = (12, 16), (120, 320)
FEATURES = features_of(GRID, SIZE)
CONFIG = CandidatesConfig(
    sampler="farthest", positives=4, negatives=6, per_component=2, max_positives=8, prune_distance=0.0
)
CORNERS = [(1, 1), (1, 6), (1, 11), (7, 1), (7, 6), (7, 11)]


def _blobs(*blocks: tuple[slice, slice]) -> np.ndarray:
    values = np.full(GRID, -1.0, np.float32)
    for block in blocks:
        values[block] = 1.0
    return values


def _squares(count: int) -> np.ndarray:
    """Separate squares of 2 x 2 patches."""
    return _blobs(*(np.s_[row : row + 2, column : column + 2] for row, column in CORNERS[:count]))


@pytest.mark.parametrize(
    ("weight", "count", "order"),
    [
        ([1, 1, 1, 1], 4, [0, 3, 2, 1]),  # 0, then the far end, then the one farthest from both, then the rest
        ([1, 5, 1, 1], 2, [1, 3]),  # the largest weight first
        ([1, 1, 1, 0.01], 3, [0, 2, 1]),  # 10 * .01 loses against 2 * 1, 8 * .01 against 1 * 1
        ([1, 1, 1, 1], 9, [0, 3, 2, 1]),  # more than there are
        ([1, 1, 1, 1], 0, []),
        ([0, 0, 0, 0], 2, [0, 3]),  # no weight at all: distance decides
    ],
)
def test_farthest_points(weight: list[float], count: int, order: list[int]) -> None:
    xy = np.array([[0, 0], [1, 0], [2, 0], [10, 0]], np.float64)
    assert farthest_points(xy, np.array(weight, np.float64), count).tolist() == order


@pytest.mark.parametrize(
    ("components", "total", "fewest"),
    [
        (1, 4, 4),  # `positives`
        (2, 4, 2),  # still `positives`, shared
        (3, 6, 2),  # `per_component` for each
        (4, 8, 2),
        (5, 8, 0),  # `max_positives`: the last goes without
    ],
)
def test_positives_grow_with_the_components(components: int, total: int, fewest: int) -> None:
    candidates = make_candidates(score_map_of(_squares(components)), FEATURES, CONFIG)
    component = candidates.component[candidates.labels == 1]
    assert len(component) == total
    assert np.bincount(component, minlength=components).min() == fewest
    assert len(set(candidates.patch_index.tolist())) == len(candidates.patch_index)


HEAVY, LIGHT, LIGHT_TOO = np.s_[0:7, 0:8], np.s_[10:12, 1:3], np.s_[10:12, 8:10]


def test_a_heavy_component_gets_more() -> None:
    config = replace(CONFIG, positives=12, max_positives=12)
    candidates = make_candidates(score_map_of(_blobs(HEAVY, LIGHT)), FEATURES, config)
    component = candidates.component[candidates.labels == 1]
    assert (component == 0).sum() > (component == 1).sum() >= 1
    assert len(component) == 12


@pytest.mark.parametrize(
    ("blocks", "positives"),
    [
        ((HEAVY, LIGHT), 12),  # 11 + 1 instead of 10 + 2
        ((HEAVY, LIGHT, LIGHT_TOO), 16),  # 14 + 2 + 0 instead of 12 + 2 + 2
    ],
)
def test_every_component_gets_its_share(blocks: tuple, positives: int) -> None:
    config = replace(CONFIG, positives=positives, max_positives=64)
    candidates = make_candidates(score_map_of(_blobs(*blocks)), FEATURES, config)
    component = candidates.component[candidates.labels == 1]
    assert np.bincount(component, minlength=len(blocks)).min() >= 2


def test_first_positives_touch_every_component() -> None:
    """A prefix of the positives is itself a good set: one of each component, heaviest first, then the second ones."""
    values = _squares(3)
    values[1:3, 6:8] = 3.0  # the second square is the heaviest
    candidates = make_candidates(score_map_of(values), FEATURES, replace(CONFIG, positives=6))
    assert candidates.component[:6].tolist()[:3] == [0, 1, 2]
    assert candidates.patch_index[0] // 16 in (1, 2) and candidates.patch_index[0] % 16 in (6, 7)
    assert sorted(candidates.component[3:6].tolist())[0] == 0


def test_more_positives_extend_the_list() -> None:
    """One component: a smaller number of positives is a prefix of a larger one."""
    score_map = score_map_of(_blobs(np.s_[2:8, 3:12]))
    few, many = (make_candidates(score_map, FEATURES, replace(CONFIG, positives=n)).patch_index[:3] for n in (3, 8))
    assert few.tolist() == many.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_points_lie_where_they_should(seed: int, level: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=GRID), 1.2)
    score_map = score_map_of(noise / noise.std(), threshold=level)
    candidates = make_candidates(score_map, FEATURES, CONFIG)
    inside = score_map.foreground.reshape(-1)[candidates.patch_index]
    np.testing.assert_array_equal(inside, candidates.labels == 1)  # positives within, negatives without
    assert (candidates.labels == 1).sum() <= CONFIG.max_positives
    assert (candidates.labels == 0).sum() <= CONFIG.negatives
    assert (np.diff(candidates.labels) <= 0).all()  # positives first
    assert ((candidates.component >= 0) == (candidates.labels == 1)).all()
    np.testing.assert_array_equal(candidates.scores, score_map.logits.reshape(-1)[candidates.patch_index])
    around = ndimage.binary_dilation(score_map.foreground, np.ones((3, 3))) & ~score_map.foreground
    assert not around.reshape(-1)[candidates.patch_index[candidates.labels == 0]].any()  # a patch of room


def test_points_are_patch_centres_in_original_pixels() -> None:
    # Patches of 20 x 10 pixels: row 1, column 2 is centred at ((2 + .5) * 20 - .5, (1 + .5) * 10 - .5).
    features = features_of((2, 4), (20, 80))
    candidates = make_candidates(score_map_of([[-1, -1, -1, -1], [-1, -1, 1, -1]]), features, CONFIG)
    assert candidates.xy[0].tolist() == [49.5, 14.5]
    # The only patches two away from it lie in the first column.
    assert sorted(candidates.xy[1:].tolist()) == [[9.5, 4.5], [9.5, 14.5]]


def test_sampler_all_takes_exactly_the_matches() -> None:
    matches = Matches(np.array([1, 5]), np.array([7, 20, 33]))
    config = replace(CONFIG, sampler="all", positives=1, negatives=0)
    candidates = make_candidates(score_map_of(_squares(2)), FEATURES, config, matches)
    assert candidates.patch_index.tolist() == [1, 5, 7, 20, 33]
    assert candidates.labels.tolist() == [1, 1, 0, 0, 0]


def test_pruning_is_in_shares_of_the_longest_side() -> None:
    # Centres 20 pixels apart in a row; .125 * 320 = 40: the negative two patches away stays, the one beside goes.
    matches = Matches(np.array([0]), np.array([1, 2]))
    config = replace(CONFIG, sampler="all", prune_distance=0.125)
    candidates = make_candidates(score_map_of(_squares(1)), FEATURES, config, matches)
    assert candidates.patch_index.tolist() == [0, 2]


def test_full_foreground_has_no_negatives() -> None:
    candidates = make_candidates(score_map_of(np.ones(GRID)), FEATURES, CONFIG)
    assert set(candidates.labels.tolist()) == {1}


@pytest.mark.parametrize(
    ("size", "inside"),
    [
        ((100, 200), np.s_[:128, :]),  # wide: padding below
        ((200, 100), np.s_[:, :128]),  # tall: padding at the right
    ],
)
def test_mask_prompt_padding(size: tuple[int, int], inside: tuple) -> None:
    prompt = to_mask_prompt(score_map_of(np.full((2, 4), 1.5)), size, gain=2.0)
    assert (prompt.shape, prompt.dtype) == ((256, 256), np.float32)
    assert (prompt[inside] == 3.0).all()
    prompt[inside] = -MASK_PROMPT_LIMIT
    assert (prompt == -MASK_PROMPT_LIMIT).all()


def test_mask_prompt_follows_the_scores() -> None:
    score_map = score_map_of([[9, -1, -1, -1], [-1, -1, -1, -9]], threshold=0.0, scale=0.5)
    prompt = to_mask_prompt(score_map, (100, 200), gain=4.0)
    assert prompt[5, 5] == MASK_PROMPT_LIMIT  # 72, clipped; top left
    assert prompt[120, 250] == -MASK_PROMPT_LIMIT  # bottom right
    assert prompt[5, 250] == pytest.approx(-8.0)  # -1 / .5 * 4


@pytest.mark.parametrize(
    ("values", "box"),
    [
        ([[-1, 1, -1, -1], [-1, -1, 1, -1]], [20, 0, 60, 20]),  # columns 1 to 2, both rows
        ([[-1, -1, -1, -1], [1, -1, -1, -1]], [0, 10, 20, 20]),
        ([[0, -1, -1, 0], [0, -1, -1, -1]], [0, 0, 80, 20]),  # the threshold itself is foreground
    ],
)
def test_to_box(values: list, box: list[int]) -> None:
    made = to_box(score_map_of(values), (20, 80))
    assert made is not None
    assert made.tolist() == box


def test_no_box_without_foreground() -> None:
    assert to_box(score_map_of([[-1, -1]]), (20, 80)) is None


@pytest.mark.parametrize(("dense", "box"), [(True, False), (False, True), (True, True), (False, False)])
def test_to_prompts_switches(dense: bool, box: bool) -> None:
    score_map = score_map_of(_squares(2) * 1.2345)
    config = replace(CONFIG, dense_prompt=dense, box_prompt=box)
    candidates = make_candidates(score_map, features_of(GRID, (121, 333)), config)
    prompts = to_prompts(candidates, score_map, FEATURES, config)
    assert (prompts.mask_prompt is not None, prompts.box is not None) == (dense, box)
    assert prompts.point_labels.tolist() == candidates.labels.tolist()
    # As a prompt file rounds: a thousandth of a pixel, half precision.
    np.testing.assert_allclose(prompts.point_coords * 1000, (prompts.point_coords * 1000).round(), atol=0.05)
    if dense:
        np.testing.assert_array_equal(prompts.mask_prompt, prompts.mask_prompt.astype(np.float16))


EMPTY = score_map_of(np.full(GRID, -1.0))


@pytest.mark.parametrize("negatives", [0, 6])
def test_empty_foreground_gives_an_empty_set(negatives: int) -> None:
    config = replace(CONFIG, negatives=negatives, dense_prompt=True, box_prompt=True)
    prompts = to_prompts(make_candidates(EMPTY, FEATURES, config), EMPTY, FEATURES, config)
    assert prompts.is_empty
    assert prompts.mask_prompt is None and prompts.box is None


def test_empty_foreground_gives_no_candidates() -> None:
    assert len(make_candidates(EMPTY, FEATURES, CONFIG).labels) == 0
