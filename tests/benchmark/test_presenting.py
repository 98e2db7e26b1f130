"""Which pictures a report asks for."""

from __future__ import annotations

from pathlib import Path

from gpoa.benchmark.presenting import _cases, _lost
from gpoa.benchmark.runner import plan_units
from gpoa.config import BenchmarkConfig, GpoaConfig
from gpoa.datasets.classes import load_classes


def row(name: str, image: str, method: str, iou: float) -> dict:
    return {"class": name, "reference": "0", "image": image, "method": method, "seed": "0", "status": "ok", "iou": iou}


def test_lost_images_are_those_where_the_winner_is_furthest_ahead():
    rows = [row("a", "1", "we", 0.2), row("a", "2", "we", 0.5), row("b", "1", "we", 0.9), row("c", "1", "we", 0.5)]
    rows += [row("a", "1", "it", 0.9), row("a", "2", "it", 0.6), row("b", "1", "it", 0.8), row("c", "1", "it", 0.51)]
    worst = ("a", "0", "1")
    assert _lost(rows, "we", 3) == [("we", worst), ("it", worst)]  # b is won, c is a tie
    assert _lost(rows, "we", 0) == []
    assert _lost([one for one in rows if one["method"] == "we"], "we", 3) == []


def test_pictures_of_ours_and_of_the_winner(data: Path):
    config = BenchmarkConfig(methods=("gpoa-start", "otsu"), references=1)
    units = plan_units(load_classes(data, ["red"]), config)
    scores = {"gpoa-start": (0.9, 0.5, 0.1), "otsu": (0.8, 0.4, 0.8)}
    rows = [row("red", str(i + 1), name, iou) for name, ious in scores.items() for i, iou in enumerate(ious)]
    cases = _cases(rows, units, "gpoa-start", GpoaConfig(), None, 1)
    assert [(case.method, case.image_name) for case in cases] == [
        ("gpoa-start", "3"),
        ("gpoa-start", "2"),
        ("gpoa-start", "1"),
        ("gpoa-start", "3"),
        ("otsu", "3"),
    ]
    assert [bool(case.gallery) for case in cases] == [False, False, False, True, True]
    assert all(case.mask.shape == (64, 96) and case.reference_mask is not None for case in cases)
    assert _cases(rows, units, "gpoa-start", GpoaConfig(), None, 0) == []
