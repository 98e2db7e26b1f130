"""Galleries: the choice of images, their pictures, and the limit on bytes."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gpoa.report import cases as report_cases
from gpoa.report.cases import EXTRA_COLOR, MISSED_COLOR, SIDE, choose_cases, error_map, galleries
from tests.report.report_builders import make_case, make_report


def _rows(values: dict[tuple[str, str], float], name: str = "iou") -> list[dict]:
    return [
        {"class": c, "reference": "r", "image": i, "method": "m", "seed": 0, "status": "ok", name: value}
        for (c, i), value in values.items()
    ]


def _short(chosen: dict[str, list]) -> dict[str, list[str]]:
    return {name: [c + i for c, _, i in keys] for name, keys in chosen.items()}


VALUES = {("a", "1"): 0.1, ("a", "2"): 0.2, ("a", "3"): 0.9, ("b", "1"): 0.5, ("b", "2"): 0.6, ("b", "3"): 0.95}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"worst": ["a1"], "median": ["b1"], "best": ["b3"]}),  # the median is .55; b1 and b2 are as near
        (2, {"worst": ["a1", "b1"], "median": ["b2", "a2"], "best": ["b3", "a3"]}),  # b1 before a2: one for each class
        (9, {"worst": ["a1", "b1"], "median": ["b2", "a2"], "best": ["b3", "a3"]}),  # each image once
    ],
)
def test_choice(count: int, expected: dict) -> None:
    assert _short(choose_cases(_rows(VALUES), "m", count)) == expected


def test_choice_by_confidence_without_truth() -> None:
    assert _short(choose_cases(_rows(VALUES, "confidence"), "m", 1)) == {
        "worst": ["a1"],
        "median": ["b1"],
        "best": ["b3"],
    }


def test_no_row_no_choice() -> None:
    assert choose_cases(_rows(VALUES), "absent", 3) == {"worst": [], "median": [], "best": []}


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.text("xyz", max_size=3)), st.sampled_from([0, 0.25, 0.5, 1.0])
    ),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_choice_has_no_image_twice_and_ignores_the_order_of_rows(values: dict, count: int, random: object) -> None:
    rows = _rows(values)
    chosen = choose_cases(rows, "m", count)
    keys = [key for group in chosen.values() for key in group]
    assert len(keys) == len(set(keys)) and {(c, i) for c, _, i in keys} <= set(values)
    assert all(len(group) <= count for group in chosen.values())
    random.shuffle(rows)
    assert choose_cases(rows, "m", count) == chosen


def test_errors_are_told_by_colour_and_stripes() -> None:
    mask, truth = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    mask[:20, :30], truth[:20, 30:] = True, True
    pixels = np.asarray(error_map(np.full((40, 60, 3), 100, np.uint8), mask, truth))
    assert (pixels[:20, 30:] == MISSED_COLOR).all()
    extra = pixels[:20, :30].reshape(-1, 3)
    striped, white = (extra == EXTRA_COLOR).all(1), (extra == 255).all(1)
    assert (striped | white).all() and 0.25 < white.mean() < 0.42  # a third is white
    assert (pixels[20:] == 190).all()  # 150 + .4 * 100


def test_thin_structures_survive_shrinking() -> None:
    truth = np.zeros((3 * SIDE, 3 * SIDE), bool)
    truth[:, 500] = True  # one pixel of three
    pixels = np.asarray(error_map(np.zeros((*truth.shape, 3), np.uint8), np.zeros_like(truth), truth))
    assert pixels.shape == (SIDE, SIDE, 3)
    assert ((pixels == MISSED_COLOR).all(2).sum(axis=1) == 1).all()


def test_prompts_lie_where_they_belong() -> None:
    html = galleries(make_report(), has_truth=True)
    # The picture is not shrunk; a point sits in the middle of its pixel.
    assert re.search(r'<circle cx="30\.5" cy="15\.5"', html) and "prompts: 1 positive, 1 negative, box" in html
    assert re.search(r'<rect x="20\.0" y="10\.0" width="40\.0" height="10\.0" fill="none"', html)
    assert "answer, IoU 0.600" in html and "before the agent, IoU 0.000" in html
    assert html.count("<image ") == 6


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(make_case(truth=False), start=None, prompts=None, confidence=None)
    html = galleries(make_report(truth=False, cases=(bare,)), has_truth=False)
    assert html.count("<image ") == 3 and "IoU" not in html and "confidence 0" not in html
    assert "area 7.4 % of the image" in html  # 400 / 5400


def test_headings_follow_the_choice() -> None:
    keys = [("one/a", "r", "2"), ("one/a", "r", "1"), ("two/b", "r", "3")]  # worst, median, best
    html = galleries(make_report(cases=tuple(make_case(key) for key in reversed(keys))), has_truth=True)
    assert re.findall(r"<h3>([^<]*)</h3>.*?image (\d)", html) == [
        ("Worst", "2"),
        ("Around the median", "1"),
        ("Best", "3"),
    ]
    other = galleries(make_report(cases=(make_case(("no", "such", "image")),)), has_truth=True)
    assert "<h3>Selected images</h3>" in other


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    mask = np.zeros((400, 400), bool)
    case = replace(
        make_case(), image=noise, mask=mask, start=mask, truth=mask, reference_image=noise, reference_mask=mask
    )
    monkeypatch.setattr(report_cases, "PICTURE_BYTES", 300_000)
    monkeypatch.setattr(report_cases, "MAX_CASES", 5)
    html = galleries(make_report(cases=(case,) * 8), has_truth=True)
    pictures = [base64.b64decode(data) for data in re.findall(r'href="data:image/jpeg;base64,([^"]*)"', html)]
    assert len(pictures) == 30 and sum(map(len, pictures)) <= 300_000
    assert "The first 5 of 8 images are shown." in html
    assert max(Image.open(BytesIO(picture)).size[0] for picture in pictures) <= SIDE


def test_a_case_may_name_its_gallery() -> None:
    keys = [("one/a", "r", "2"), ("one/a", "r", "1"), ("two/b", "r", "3")]
    cases = (replace(make_case(keys[0]), gallery="Lost & found"), *(make_case(key) for key in keys))
    html = galleries(make_report(cases=cases), has_truth=True)
    headings = re.findall(r"<h3>([^<]*)</h3>.*?image (\d)", html)
    assert headings == [("Worst", "2"), ("Around the median", "1"), ("Best", "3"), ("Lost &amp; found", "2")]
