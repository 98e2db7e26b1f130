"""Calibration, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.report.calibration import calibrate


def test_two_bins() -> None:
    confidence = np.array([0.1] * 5 + [0.9] * 5)
    iou = np.array([0.2] * 5 + [0.6] * 5)
    one = calibrate(confidence, iou)
    assert one.bin_confidence == pytest.approx((0.1, 0.9)) and one.bin_iou == pytest.approx((0.2, 0.6))
    assert one.error == pytest.approx(0.2)  # |.1 - .2| and |.9 - .6|, half each
    assert one.bias == pytest.approx(0.1)
    assert one.rank_correlation == pytest.approx(1.0)


def test_risk_and_coverage() -> None:
    one = calibrate(np.array([0.9, 0.5, 0.1]), np.array([0.3, 0.9, 0.6]))
    assert one.kept == pytest.approx([0.3, 0.6, 0.6])
    assert one.kept_ideal == pytest.approx([0.9, 0.75, 0.6])
    assert one.rank_correlation == pytest.approx(-0.5)  # ranks 3 2 1 and 1 3 2


def test_equal_confidences_do_not_depend_on_order() -> None:
    one = calibrate(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    assert one.kept == pytest.approx([0.5, 0.5]) and one.rank_correlation is None


def test_constant_iou_has_no_rank_correlation() -> None:
    assert calibrate(np.array([0.1, 0.2]), np.array([1.0, 1.0])).rank_correlation is None
