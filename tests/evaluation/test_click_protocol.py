"""Dice after each click."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.envs.click_toy import ToySegmenter, draw_scene
from gpoa.evaluation.click_protocol import click_curves, summarize
from gpoa.search.click_agents import PriorAgent


def test_all_begin_alike_and_the_oracle_ends_on_top() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(rng, group) for group in ("a", "b")]
    rows = list(click_curves(scenes, ToySegmenter(), {"prior": PriorAgent(), "prior, no prior": PriorAgent()}, 4))
    assert [row["method"] for row in rows] == 2 * ["oracle", "prior", "prior, no prior"]
    for scene in range(2):
        curves = {row["method"]: row["dice"] for row in rows if row["image"] == scene}
        assert len({curve[0] for curve in curves.values()}) == 1 and len(curves["oracle"]) == 4
        assert max(curves["oracle"]) > 0.95 and curves["prior"][-1] > 0.95
        assert curves["prior, no prior"] == [curves["oracle"][0]] * 4  # SAM's masks agree: nothing to suggest


def test_means_are_over_classes_and_falls_are_counted() -> None:
    rows = [
        {"class": "a", "image": 0, "method": "m", "dice": [0.5, 0.9]},
        {"class": "a", "image": 1, "method": "m", "dice": [0.7, 0.5]},
        {"class": "b", "image": 2, "method": "m", "dice": [0.2, 0.96]},
    ]
    (table,) = summarize(rows)
    assert table["dice"] == pytest.approx([0.4, 0.83])
    assert table["gain"] == pytest.approx(0.43) and table["low"] <= 0.43 <= table["high"]
    assert table["worse"] == pytest.approx(1 / 3)
    assert table["noc"] == pytest.approx([2.0, 2.0])  # IoU .92 at the second click; the others never
