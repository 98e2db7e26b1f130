"""Rows: seeds, undefined values, winners."""

from __future__ import annotations

import pytest

from gpoa.report.data import class_standings, image_differences, merge_seeds, number, scored, standings

BASE = {"class": "s/a", "reference": "r", "image": "1", "method": "m", "seed": 0, "status": "ok"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        ("0.25", 0.25),  # as read from a CSV file
        (0, 0.0),  # zero is a value
        ("", None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_number(value: object, expected: float | None) -> None:
    assert number({"iou": value}, "iou") == expected
    assert number({}, "iou") is None


def test_undefined_values_are_left_out_of_the_mean_of_seeds() -> None:
    rows = [{**BASE, "iou": 0.4, "hd95": float("inf")}, {**BASE, "seed": 1, "iou": 0.6, "hd95": 4.0}]
    (row,) = merge_seeds(rows)
    assert (row["iou"], row["hd95"], row["assd"], row["status"]) == (pytest.approx(0.5), 4.0, None, "ok")


def test_failed_counts_as_zero_only_where_there_is_truth() -> None:
    failed = {**BASE, "image": "2", "status": "failed"}
    with_truth = merge_seeds([{**BASE, "iou": 1.0}, failed])
    assert [row["iou"] for row in with_truth] == [1.0, 0.0]
    assert [row["hd95"] for row in with_truth] == [None, None]
    assert scored(merge_seeds([BASE, failed])) == []


def test_a_seed_that_failed_is_seen() -> None:
    (row,) = merge_seeds([{**BASE, "iou": 1.0}, {**BASE, "seed": 1, "status": "failed"}])
    assert (row["status"], row["iou"]) == ("failed", 0.5)


def test_merging_twice_changes_nothing() -> None:
    once = merge_seeds([{**BASE, "iou": 0.5, "confidence": "", "hd95": float("nan")}])
    assert merge_seeds(once) == once


def test_costs_are_means_over_images_and_scores_over_classes() -> None:
    rows = [{**BASE, "image": str(k), "iou": 1.0, "seconds": 1.0} for k in range(3)]
    rows.append({**BASE, "class": "s/b", "iou": 0.0, "seconds": 5.0})
    (one,) = standings(merge_seeds(rows), "m")
    assert (one.means["iou"], one.means["seconds"], one.duel) == (0.5, 2.0, None)


def test_ours_wins_ties() -> None:
    rows = [{**BASE, "method": method, "iou": 0.5} for method in ("a", "m", "z")]
    (one,) = class_standings(merge_seeds(rows), "m")
    assert (one.winner, one.margin) == ("m", 0.0)


def test_differences_use_shared_images_only() -> None:
    rows = [
        {**BASE, "iou": 0.75},
        {**BASE, "method": "n", "iou": 0.25},
        {**BASE, "method": "n", "image": "2", "iou": 1},
    ]
    merged = merge_seeds(rows)
    assert image_differences(merged, "m", "n").tolist() == [0.5]
    assert image_differences(merged, "m", "absent").size == 0
