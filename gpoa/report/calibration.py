"""How well a confidence tells the true IoU: the numbers, and the section that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpoa.report.charts import BLUE, GREEN, GREY, INK, VERMILLION, Curve, curve_legend, plane_chart
from gpoa.report.data import Report, Row, ranked_methods
from gpoa.report.html import Column, Line, decimal, figure, table, text

BINS = 10
MIN_IN_BIN = 5
_COLUMNS = (
    Column("Method", False),
    Column("Images"),
    Column("Rank correlation", hint="Spearman's, of confidence and IoU"),
    Column("Calibration error", hint="mean distance of confidence and IoU over bins of equal counts"),
    Column("Confidence − IoU", hint="mean over images; above 0 is too sure"),
    Column("Mean IoU kept", hint="mean IoU of the most confident images, averaged over all shares kept"),
    Column("The same, ideal", hint="if the confidence ordered the images as their IoU does"),
)


class Calibration(NamedTuple):
    """Confidence against IoU over N images.

    Args:
        confidence: [N].
        iou: [N].
        rank_correlation: Spearman's; None where either does not vary.
        error: mean distance between confidence and IoU over bins (Naeini et al. 2015; here bins of equal counts).
        bias: mean of confidence minus IoU.
        bin_confidence: mean confidence of each bin.
        bin_iou: mean IoU of each bin.
        kept: [N] mean IoU of the 1 to N most confident images (the risk-coverage curve of El-Yaniv and Wiener 2010).
        kept_ideal: [N] the same, were the images ordered by IoU.
    """

    confidence: np.ndarray
    iou: np.ndarray
    rank_correlation: float | None
    error: float
    bias: float
    bin_confidence: tuple[float, ...]
    bin_iou: tuple[float, ...]
    kept: np.ndarray
    kept_ideal: np.ndarray


def calibrate(confidence: np.ndarray, iou: np.ndarray) -> Calibration:
    """Compares confidences with what came true.

    Args:
        confidence: [N] finite, N >= 1.
        iou: [N] in [0, 1].
    """
    order = np.argsort(-confidence, kind="stable")
    bins = np.array_split(order[::-1], max(1, min(BINS, len(order) // MIN_IN_BIN)))
    pairs = [(float(confidence[one].mean()), float(iou[one].mean())) for one in bins]
    count = np.arange(1, len(order) + 1)
    return Calibration(
        confidence=confidence,
        iou=iou,
        rank_correlation=_spearman(confidence, iou),
        error=float(sum(len(one) * abs(c - i) for one, (c, i) in zip(bins, pairs, strict=True)) / len(order)),
        bias=float((confidence - iou).mean()),
        bin_confidence=tuple(c for c, _ in pairs),
        bin_iou=tuple(i for _, i in pairs),
        # Images of equal confidence cannot be told apart: each gets their mean, so the order of files plays no part.
        kept=np.cumsum(_tied_means(confidence, iou)[order]) / count,
        kept_ideal=np.cumsum(np.sort(iou)[::-1]) / count,
    )


def _tied_means(confidence: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """[N] mean IoU of all images with the same confidence."""
    _, place = np.unique(confidence, return_inverse=True)
    return (np.bincount(place, weights=iou) / np.bincount(place))[place]


def _spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    """Rank correlation, ties at their mean rank."""
    from scipy.stats import rankdata

    ranks = rankdata(one), rankdata(other)
    if ranks[0].std() == 0 or ranks[1].std() == 0:
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def calibration_section(report: Report, known: Sequence[Row]) -> str:
    """Confidence against true IoU, as HTML: charts of ours, and a table of every method that has a confidence."""
    found: dict[str, Calibration] = {}
    for method in ranked_methods(known, report.ours):
        rows = [row for row in known if row["method"] == method and row["confidence"] is not None]
        if len(rows) >= 2:
            found[method] = calibrate(np.array([r["confidence"] for r in rows]), np.array([r["iou"] for r in rows]))
    if not found:
        return ""
    lines = []
    for method, one in found.items():
        cells = [
            text(report.name(method)),
            str(len(one.iou)),
            decimal(one.rank_correlation, 2, sign=True),
            decimal(one.error),
            decimal(one.bias, 3, sign=True),
            decimal(float(one.kept.mean())),
            decimal(float(one.kept_ideal.mean())),
        ]
        lines.append(Line(cells, method == report.ours))
    charts = _charts(found[report.ours], report.is_plain) if report.ours in found else ""
    return charts + table("Confidence against true IoU", _COLUMNS, lines)


def _charts(one: Calibration, plain: bool) -> str:
    """Confidence against IoU, and the IoU of what is kept when the least confident images are left out."""
    lines = [
        Curve("mean of a bin", one.bin_confidence, one.bin_iou, VERMILLION, marks=True),
        Curve("confidence = IoU", (0, 1), (0, 1), INK, "5 4"),
    ]
    dots = one.confidence.clip(0, 1), one.iou
    plane = plane_chart("Confidence against true IoU", ("confidence", "true IoU"), dots, lines)
    mean, shares = float(one.iou.mean()), np.arange(1, len(one.iou) + 1) / len(one.iou)
    curves = [
        Curve("by confidence", shares, one.kept, BLUE),
        Curve("ideal order", shares, one.kept_ideal, GREEN, "7 3"),
        Curve("random order", (0, 1), (mean, mean), GREY, "2 3"),
    ]
    low = max(0.0, np.floor(10 * min(one.kept.min(), mean) - 0.5) / 10)
    labels = ("share of the images kept, most confident first", "mean IoU of these")
    kept = plane_chart("Mean IoU of the images kept", labels, None, curves, (low, 1.0))
    caption = f"{'Each' if plain else 'Ours: each'} dot is an image, squares are means of bins of equal counts."
    return (
        '<div class="pair">'
        + figure(plane + curve_legend(lines), caption)
        + figure(kept + curve_legend(curves), "What is gained by setting the least confident images aside.")
        + "</div>"
    )
