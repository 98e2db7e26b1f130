"""Objects against objects: by hand, against brute force, and COCO's own code."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpoa.errors import ModelError
from gpoa.evaluation import instances
from gpoa.evaluation.instances import InstanceScores, score_instances, score_ious

LABELS = hnp.arrays(np.int64, (3, 5), elements=st.integers(0, 4))


def best_pairs(ious: np.ndarray, allowed: np.ndarray) -> tuple[int, float]:
    """The most pairs that can be allowed at once, and the largest sum of IoU over matchings, by trying all."""
    if 0 in ious.shape:
        return 0, 0.0
    if ious.shape[0] > ious.shape[1]:
        ious, allowed = ious.T, allowed.T
    rows = range(ious.shape[0])
    count, total = 0, 0.0
    for columns in itertools.permutations(range(ious.shape[1]), ious.shape[0]):
        chosen = [(row, column) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]
        count, total = max(count, len(chosen)), max(total, sum(ious[pair] for pair in chosen))
    return count, total


def test_by_hand() -> None:
    """Four true objects, three predicted: one exact, one of IoU 3/4, one that splits, two missed."""
    truth = np.array([[1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 3, 3, 0, 9]])
    found = np.array([[5, 5, 0, 7, 7, 7, 0, 0, 4, 0, 0, 0, 0, 0]])
    scores = score_instances(found, truth)
    assert (scores.n_predicted, scores.n_true, scores.matched, scores.iou_sum) == (3, 4, 2, 1.75)
    assert scores.hits == (2, 2, 2, 2, 2, 2, 1, 1, 1, 1)  # 0.75 is reached at 0.75
    assert scores.sq == pytest.approx(1.75 / 2)
    assert scores.rq == pytest.approx(2 / (2 + 1 / 2 + 2 / 2))
    assert scores.pq == pytest.approx(1.75 / 3.5)
    assert scores.detection_accuracy(0.5) == pytest.approx(2 / (2 + 1 + 2))
    assert scores.detection_accuracy(0.8) == pytest.approx(1 / (1 + 2 + 3))
    assert scores.values() == pytest.approx(
        {
            "pq": 0.5,
            "sq": 0.875,
            "rq": 4 / 7,
            "detection_accuracy_50": 0.4,
            "detection_accuracy_75": 0.4,
            "detection_accuracy_50_95": (6 * 0.4 + 4 / 6) / 10,
        }
    )


def test_exactly_one_half() -> None:
    """IoU 0.5 is no match for the panoptic quality (> 0.5), but one, not two, for the detection accuracy (>= 0.5)."""
    scores = score_instances(np.array([[1, 2]]), np.array([[1, 1]]))
    assert (scores.matched, scores.hits[0], scores.hits[1]) == (0, 1, 0)
    assert scores.pq == 0 and scores.sq == 0
    assert scores.detection_accuracy(0.5) == 1 / 2


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [([0, 0], [0, 0], 1.0), ([0, 0], [1, 0], 0.0), ([1, 0], [0, 0], 0.0), ([1, 2], [4, 3], 1.0)],
)
def test_without_objects(found: list[int], truth: list[int], expected: float) -> None:
    """Rightly nothing is 1, one side empty 0; numbers do not matter."""
    scores = score_instances(np.array([found]), np.array([truth]))
    assert set(scores.values().values()) == {expected}
    # The same with one mask for each object.
    masks = [np.array([truth]) == label for label in truth if label]
    assert score_instances(np.array([found]), masks) == scores


@given(LABELS, LABELS)
def test_against_brute_force(found: np.ndarray, truth: np.ndarray) -> None:
    """IoU label by label, matchings by trying all."""
    a, b = [found == v for v in np.unique(found) if v], [truth == v for v in np.unique(truth) if v]
    ious = np.array([[(x & y).sum() / (x | y).sum() for y in b] for x in a]).reshape(len(a), len(b))
    assert np.array_equal(instances.instance_ious(found, truth), ious)
    assert np.array_equal(instances.instance_ious(found, b), ious)
    scores = score_instances(found, truth)
    count, total = best_pairs(ious, ious > 0.5)
    assert scores.matched == count and scores.iou_sum == pytest.approx(total)
    assert scores.hits == tuple(best_pairs(ious, ious >= t)[0] for t in instances.THRESHOLDS)
    assert scores.pq == pytest.approx(scores.sq * scores.rq) or not (a or b)
    assert all(0 <= value <= 1 for value in scores.values().values())


def test_overlapping_truth_is_matched_once() -> None:
    """Two true masks (COCO allows it) lie on one prediction; only one of them is found."""
    found = np.array([[1, 1, 1, 1, 0]])
    truth = [np.array([[1, 1, 1, 1, 0]], bool), np.array([[1, 1, 1, 1, 1]], bool)]
    scores = score_instances(found, truth)
    assert (scores.n_true, scores.matched, scores.iou_sum) == (2, 1, 1.0)


def test_the_most_pairs_are_found() -> None:
    """A greedy choice of the best pair would leave the second prediction without a partner."""
    scores = score_ious(np.array([[0.8, 0.7], [0.75, 0.0]]))
    assert scores.hits[0] == 2
    assert (scores.matched, scores.iou_sum) == (2, pytest.approx(1.45))


def test_pool() -> None:
    """Counts add up; every object weighs the same."""
    one, two = InstanceScores(1, 1, 1, 1.0, (1,) * 10), InstanceScores(3, 5, 2, 1.5, (2,) * 5 + (0,) * 5)
    both = instances.pool([one, two])
    assert both == InstanceScores(4, 6, 3, 2.5, (3,) * 5 + (1,) * 5)
    assert both.pq == pytest.approx(2.5 / (3 + 1 / 2 + 3 / 2))
    assert instances.pool([]).pq == 1


def test_components_touch_at_corners() -> None:
    """Eight neighbours."""
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool)
    assert instances.components(mask).tolist() == [[1, 0, 0, 2], [0, 1, 0, 2]]


@pytest.mark.parametrize("factor", [1, 1 << 30])
def test_compact(factor: int) -> None:
    """Small and huge numbers, with and without background."""
    labels, count = instances.compact(np.array([[0, 3], [9, 3]]) * factor)
    assert (labels.tolist(), count) == ([[0, 1], [2, 1]], 2)
    labels, count = instances.compact(np.array([[7, 3]]) * factor)
    assert (labels.tolist(), count) == ([[2, 1]], 2)
    assert instances.compact(np.zeros((2, 2), np.uint8))[1] == 0


def test_refused() -> None:
    """Other sizes, other types, negative numbers, other thresholds."""
    labels = np.array([[1, 0, 2]])
    for truth in (labels.T, [labels.T > 0]):
        with pytest.raises(ValueError, match=r"\(1, 3\) but truth is \(3, 1\)"):
            score_instances(labels, truth)
    with pytest.raises(ValueError, match="integer"):
        score_instances(labels * 0.5, labels)
    with pytest.raises(ValueError, match=r"0 \(background\) or above"):
        score_instances(labels, -labels)
    with pytest.raises(ValueError, match="threshold"):
        score_instances(labels, labels).detection_accuracy(0.42)


def test_coco_ap_by_hand() -> None:
    """Two true objects; a false one ranks between the two found: precision 1 up to recall 1/2, then 2/3."""
    truth, found = np.array([[1, 1, 0, 2, 2, 0, 0]]), np.array([[1, 1, 0, 3, 3, 0, 2]])
    scores = instances.coco_ap([found], [truth], [[0.9, 0.8, 0.7]])
    expected = (51 * 1 + 50 * 2 / 3) / 101  # at 101 recalls from 0 to 1
    assert scores == pytest.approx({"coco_ap": expected, "coco_ap_50": expected, "coco_ap_75": expected})
    assert instances.coco_ap([found], [truth], [[0.9, 0.1, 0.7]])["coco_ap"] == pytest.approx(1.0)


def test_coco_ap_counts_more_than_a_hundred() -> None:
    """COCO's own limit of 100 objects an image would cap the recall."""
    labels = np.zeros((3, 301), np.int64)
    labels[1, 1::2] = np.arange(1, 151)
    assert instances.coco_ap([labels], [labels], [np.ones(150)])["coco_ap"] == pytest.approx(1.0)


def test_coco_ap_at_the_edges() -> None:
    """Nothing true: undefined; nothing found: 0; scores that do not fit: refused."""
    labels, nothing = np.array([[1, 0]]), np.array([[0, 0]])
    assert math.isnan(instances.coco_ap([labels], [nothing], [[0.5]])["coco_ap"])
    assert instances.coco_ap([nothing], [labels], [[]]) == {"coco_ap": 0, "coco_ap_50": 0, "coco_ap_75": 0}
    for scores in ([[0.5, 0.4]], []):
        with pytest.raises(ValueError, match="zip"):
            instances.coco_ap([labels], [labels], scores)


def test_coco_ap_without_pycocotools(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install."""
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ModelError, match="pip install pycocotools"):
        instances.coco_ap([], [], [])
