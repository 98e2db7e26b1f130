"""Potentials by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.envs.rewards import boundary_iou, dice, graph_potential, jaccard, make_compare
from gpoa.graph.distances import point_distances
from tests.episodes import make_episode, make_features, make_truth


def _square(low: int, high: int, side: int = 40) -> np.ndarray:
    mask = np.zeros((side, side), dtype=bool)
    mask[low:high, low:high] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "truth", "iou", "dsc"),
    [
        (_square(0, 10), _square(0, 10), 1, 1),
        (_square(0, 10), _square(20, 30), 0, 0),
        (_square(0, 10), _square(0, 20), 0.25, 0.4),  # 100 of 400
        (_square(0, 0), _square(0, 0), 1, 1),  # empty against empty
        (_square(0, 0), _square(0, 5), 0, 0),
    ],
)
def test_overlap(mask: np.ndarray, truth: np.ndarray, iou: float, dsc: float):
    assert (jaccard(mask, truth), dice(mask, truth)) == pytest.approx((iou, dsc))


def test_boundary_iou_by_hand():
    """Diagonal 56.6, so the band is one pixel wide: 36 pixels of a 10 x 10 square, 28 of an 8 x 8 one inside it."""
    assert boundary_iou(_square(10, 20), _square(10, 20)) == 1
    assert boundary_iou(_square(10, 20), _square(11, 19)) == 0
    assert boundary_iou(_square(10, 20), np.roll(_square(10, 20), 1, axis=0)) == pytest.approx(18 / 54)


def test_compare_is_in_the_low_resolution_frame():
    compare = make_compare("iou", make_truth())
    logits = np.full((256, 256), -1.0)
    logits[48:144, 64:192] = 1.0  # the truth at twice the size
    assert compare(logits) == 1
    logits[200:, :] = 1.0  # padding below the image does not count
    assert compare(logits) == 1


def test_graph_potential_by_hand():
    episode = make_episode()
    distances = point_distances(episode.nodes, make_features())
    feature, physical = distances.feature, distances.physical
    off = ~np.eye(3, dtype=bool)
    apart = feature[:3, 3:].mean() - feature[:3, :3][off].mean()
    spread = physical[:3, :3][off].mean() + physical[3:, 3:][off].mean() + physical[:3, 3:].mean()
    assert graph_potential(episode, episode.start()) == pytest.approx((apart + spread) / 5)


def test_graph_potential_of_small_sets_is_defined():
    episode = make_episode()
    state = episode.start()
    for action in (0, 1, 3, 4, 5):
        state = episode.step(state, action)
    assert graph_potential(episode, state) == 0  # one positive: no pair of any kind
