"""Charts: lengths that can be read off, labels that are text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from gpoa.report.charts import (
    BLUE,
    GREEN,
    STRIPED,
    WIDTH,
    Bars,
    Curve,
    Part,
    Series,
    _Scale,
    bar_chart,
    plane_chart,
    sorted_chart,
    stacked_chart,
    strip_chart,
)


def _rects(svg: str) -> list[ElementTree.Element]:
    return [element for element in ElementTree.fromstring(svg).iter() if element.tag == "rect"]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.0, 100.0, ["0", "20", "40", "60", "80", "100"]),
        (0.7, 1.0, ["0.70", "0.75", "0.80", "0.85", "0.90", "0.95", "1.00"]),
        (-0.3, 0.3, ["−0.3", "−0.2", "−0.1", "0.0", "0.1", "0.2", "0.3"]),
        (0.0, 0.0, ["0.0"]),  # no range at all
    ],
)
def test_ticks(low: float, high: float, shown: list[str]) -> None:
    scale = _Scale(low, high, 0, 100)
    assert [scale.show(tick) for tick in scale.ticks()] == shown


def test_stacked_lengths() -> None:
    svg = stacked_chart("t", [Part("a", BLUE), Part("b", GREEN)], [("one", [1.0, 3.0], "4 s")], "s", 4.0)
    widths = [float(rect.get("width")) for rect in _rects(svg)]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.2) and "4 s" in svg


def test_bars_start_together_and_missing_ones_are_not_drawn() -> None:
    parts = [Part("a", BLUE), Part("b", GREEN)]
    svg = bar_chart("t", parts, [Bars("x", [1.0, 0.5], "n", False), Bars("y", [0.25, None], "n", True)], "IoU")
    rects = _rects(svg)
    assert len(rects) == 3 and len({rect.get("x") for rect in rects}) == 1
    full, half, quarter = (float(rect.get("width")) for rect in rects)
    assert (half / full, quarter / full) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.25, abs=0.01))


def test_sorted_chart_strikes_losses_and_hangs_them_below_zero() -> None:
    rects = _rects(sorted_chart("t", np.array([0.2, -0.1, 0.0]), "change"))
    assert [rect.get("fill") for rect in rects] == [STRIPED, GREEN, GREEN]
    loss, _, gain = ((float(rect.get("y")), float(rect.get("height"))) for rect in rects)
    assert loss[0] == pytest.approx(gain[0] + gain[1]) and gain[1] == pytest.approx(2 * loss[1], abs=0.2)


def test_every_value_is_a_dot_and_empty_series_are_named() -> None:
    svg = strip_chart(
        "t", [Series("full", np.array([0.1, 0.5, 0.5]), BLUE), Series("empty", np.array([]), BLUE)], "IoU"
    )
    dots = next(e.get("d") for e in ElementTree.fromstring(svg) if e.get("stroke-linecap") == "round")
    assert dots.count("M") == 3 and "empty" in svg


def test_plane_puts_values_where_they_belong() -> None:
    svg = plane_chart("t", ("x", "y"), (np.array([0.0, 1.0]), np.array([0.0, 1.0])), [Curve("c", (0, 1), (0, 1), BLUE)])
    paths = [e.get("d") for e in ElementTree.fromstring(svg).iter() if e.tag == "path"]
    assert "M56.0 330.0h0M440.0 14.0h0" in paths and "M56.0 330.0L440.0 14.0" in paths


def test_labels_are_escaped_and_shortened_in_the_middle() -> None:
    long = "<" + "a" * 100 + ">"
    svg = strip_chart("t & t", [Series(long, np.array([0.5]), BLUE)], "IoU")
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "t & t" and root.get("viewBox").startswith(f"0 0 {WIDTH} ")
    label = next(e for e in root.iter("text") if e.find("title") is not None)
    assert re.fullmatch(r"<a+…a+>", label.text) and len(label.text) < 40 and label.find("title").text == long
