"""The simulated annotator: clicks are counted, accepted masks become examples, curves are compared fairly."""

from __future__ import annotations

import numpy as np
import pytest

import gpoa.pipeline.image
from gpoa.pipeline.image import ImagePipeline
from scripts.benchmark_corrections import annotate, padded, print_table, segment
from tests.app.conftest import CONFIG
from tests.fake_backbones import FakeBackbones
from tests.red_squares import square


def test_both_arms_spend_clicks_and_one_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    pipeline = ImagePipeline(CONFIG)
    shots = [square(5 + 12 * number) for number in range(4)]
    first = segment(pipeline, shots[:1], shots[1:], range(3))
    fitted: list[int] = []
    honest = pipeline.fit
    monkeypatch.setattr(pipeline, "fit", lambda images, masks: fitted.append(len(images)) or honest(images, masks))
    for learn in (False, True):
        fitted.clear()
        curve, looks = annotate(pipeline, shots, first, learn, most=2)
        assert fitted == ([2, 3] if learn else [])  # before the last image nobody is left to learn for
        assert len(looks) == 4 and len(curve) <= 1 + 3 * 2 and curve[0] == looks[0] and curve[-1] == looks[-1]
        assert all(0 <= value <= 1 for value in curve)
    assert set(first[0]) == {0, 1, 2} and first[0][0].dtype == np.bool_  # shared by both arms, so left as it was


def test_a_shorter_curve_stays_where_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert padded([0.1, 0.2], 4) == [0.1, 0.2, 0.2, 0.2, 0.2]
    rows = [
        {"class": name, "arm": arm, "curve": curve, "looks": [0.5, 0.8], "seconds": 1}
        for name in ("a", "b")
        for arm, curve in (("single", [0.5, 0.6, 0.7]), ("learn", [0.5, 0.8]))
    ]
    print_table(rows)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["1", "0.600", "0.800", "+0.200", "(+0.200", "to", "+0.200)"] for line in lines)
    assert any(line.split() == ["2", "0.700", "0.800", "+0.100", "(+0.100", "to", "+0.100)"] for line in lines)
