"""Facility location over images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gpoa.matching.coverage import affinities, choose_covering, gist_of


def _image(*directions: int, patches: int = 12) -> np.ndarray:
    """Tokens that point along the axes of a space of six dimensions, in turn."""
    return np.eye(6, dtype=np.float32)[[directions[place % len(directions)] for place in range(patches)]]


def test_the_larger_group_comes_first_then_the_other() -> None:
    """Four images of one kind, two of another, one of its own: an image of each, by the size of its group."""
    rng = np.random.default_rng(0)
    images = [_image(0), _image(0), _image(0), _image(0), _image(1), _image(1), _image(2)]
    found = choose_covering(affinities([gist_of(image, rng) for image in images]), 3)
    assert [min(one.place, 4) if one.place < 6 else 6 for one in found] == [found[0].place, 4, 6]
    assert found[0].place < 4
    assert [one.coverage for one in found] == pytest.approx([4 / 7, 6 / 7, 1])


def test_an_image_that_holds_both_kinds_covers_both() -> None:
    rng = np.random.default_rng(0)
    images = [_image(0), _image(1), _image(0, 1)]
    assert choose_covering(affinities([gist_of(image, rng) for image in images]), 1)[0].place == 2


def test_what_is_labelled_already_is_not_chosen_and_not_needed() -> None:
    rng = np.random.default_rng(0)
    images = [_image(0), _image(0), _image(0), _image(1)]
    gains = affinities([gist_of(image, rng) for image in images])
    assert [one.place for one in choose_covering(gains, 1, given=[0])] == [3]
    assert len(choose_covering(gains, 9, given=[0])) == 3


def test_greedy_is_near_the_best_choice() -> None:
    """Within 1 - 1/e of the best pair of eight (Nemhauser et al.), and never worse with one more."""
    gains = np.random.default_rng(1).random((8, 30)).astype(np.float32)
    pair = [one.place for one in choose_covering(gains, 2)]
    best = max(gains[list(two)].max(axis=0).sum() for two in itertools.combinations(range(8), 2))
    assert gains[pair].max(axis=0).sum() >= (1 - 1 / np.e) * best
    values = [one.coverage for one in choose_covering(gains, 8)]
    assert values == sorted(values)
