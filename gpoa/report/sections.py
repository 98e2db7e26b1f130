"""Before and after the agent, time, and what is shown without ground truth. Each function returns HTML.

Legend: `merged` are rows as `merge_seeds` gives them, `known` those of them that have an IoU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gpoa.evaluation.protocol import TIE
from gpoa.report.charts import (
    BLUE,
    DOTTED,
    GREY,
    HATCHED,
    INK,
    Curve,
    Part,
    Series,
    legend,
    plane_chart,
    sorted_chart,
    stacked_chart,
    strip_chart,
)
from gpoa.report.compare import method_color
from gpoa.report.data import Report, Row, image_differences, key_of, mean_over_images, paired
from gpoa.report.html import Column, Line, decimal, figure, paragraph, table, text

_FOUND = (
    Column("Method", False),
    Column("Images"),
    Column("Found"),
    Column("Called absent"),
    Column("Failed"),
    Column("Mean confidence"),
    Column("Median confidence"),
    Column("Mean area", hint="share of the image"),
    Column("Decoder calls"),
    Column("Seconds"),
)
_TIMES = ("Images", "Encoders, s", "Decoder, s", "Rest, s", "Total, s", "Slowest, s", "Decoder calls")


def before_after_section(report: Report, known: Sequence[Row]) -> str:
    """What the agent changed, image by image."""
    if report.start is None or report.start == report.ours:
        return ""
    delta = image_differences(known, report.ours, report.start)
    if not len(delta):
        return ""
    both = paired(known, report.ours, report.start)
    before = {key_of(row): row["iou"] for row in both if row["method"] == report.start}
    after = {key_of(row): row["iou"] for row in both if row["method"] == report.ours}
    dots = np.array([before[key] for key in after]), np.array(list(after.values()))
    band = [
        Curve("equal", (0, 1), (0, 1), INK),
        Curve("", (0, 1 - TIE), (TIE, 1), GREY, "4 3"),
        Curve("", (TIE, 1), (0, 1 - TIE), GREY, "4 3"),
    ]
    plane = plane_chart("IoU before and after the agent", ("IoU before the agent", "IoU of ours"), dots, band)
    change = sorted_chart("Change of the IoU, image by image", delta, "change of the IoU")
    pair = figure(
        plane, "Each dot is an image; above the line the agent helped. Dashed: the band that counts as equal."
    )
    pair += figure(change, "Every image a bar: gains green, losses striped.")
    return paragraph(_change_words(delta), "intro") + f'<div class="pair">{pair}</div>'


def _change_words(delta: np.ndarray) -> str:
    """The changes in one sentence."""
    better, worse = int((delta > TIE).sum()), int((delta < -TIE).sum())
    mean, median, gain, loss = (
        decimal(float(value), 3, sign=True) for value in (delta.mean(), np.median(delta), delta.max(), delta.min())
    )
    return (
        f"Mean change over {len(delta)} images {mean}, median {median}; {better} better, "
        f"{len(delta) - better - worse} equal (within {TIE}), {worse} worse; from {loss} to {gain}."
    )


def time_section(report: Report, merged: Sequence[Row]) -> str:
    """Seconds an image takes, by stage, and decoder calls. Means are over images."""
    bars, lines = [], []
    timed = [row for row in merged if row["seconds"] is not None]
    for method in sorted({row["method"] for row in timed}, key=lambda name: (name != report.ours, name)):
        own = [row for row in timed if row["method"] == method]
        total, encode, decode = (mean_over_images(own, n) for n in ("seconds", "encode_seconds", "decode_seconds"))
        rest = max(0.0, (total or 0.0) - (encode or 0.0) - (decode or 0.0))
        bars.append((report.name(method), [encode or 0.0, decode or 0.0, rest], f"{decimal(total, 2)} s"))
        slowest = max(row["seconds"] for row in own)
        seconds = [decimal(value) for value in (encode, decode, rest, total, slowest)]
        cells = [text(report.name(method)), str(len(own)), *seconds, decimal(mean_over_images(own, "calls"), 1)]
        lines.append(Line(cells, method == report.ours))
    if not bars:
        return ""
    parts = [Part("image encoders", BLUE), Part("mask decoder", HATCHED), Part("everything else", DOTTED)]
    longest = max(sum(values) for _, values, _ in bars) or 1.0
    chart = stacked_chart("Seconds an image, by stage", parts, bars, "seconds an image", longest)
    columns = [Column("Method", False), *map(Column, _TIMES)]
    drawn = figure(chart, "Mean over images; the number behind the bar is the total.")
    return legend(parts) + drawn + table("Time and decoder calls, mean over images", columns, lines)


def unscored_section(report: Report, merged: Sequence[Row]) -> str:
    """Without ground truth: what was found, how sure the methods are, and which images to look at first."""
    lines, series = [], []
    for method in sorted({row["method"] for row in merged}, key=lambda name: (name != report.ours, name)):
        own = [row for row in merged if row["method"] == method]
        sure = np.array([row["confidence"] for row in own if row["confidence"] is not None])
        count = Counter(row["status"] for row in own)
        cells = [
            text(report.name(method)),
            str(len(own)),
            *(str(count[status]) for status in ("ok", "absent", "failed")),
            decimal(float(sure.mean()) if len(sure) else None),
            decimal(float(np.median(sure)) if len(sure) else None),
            decimal(mean_over_images(own, "area")),
            decimal(mean_over_images(own, "calls"), 1),
            decimal(mean_over_images(own, "seconds"), 2),
        ]
        lines.append(Line(cells, method == report.ours))
        series += [Series(report.name(method), sure, method_color(report, method))] if len(sure) else []
    title = "Distribution of the confidence" + ("" if report.is_plain else " for each method")
    chart = strip_chart(title, series, "confidence") if series else ""
    caption = (
        "Confidence of every image (dots), quartiles (box), 5th to 95th percentile (line), median (thick stroke, "
        "number at the right), mean (diamond)."
    )
    drawn = figure(chart, caption) if chart else ""
    if report.is_plain:
        return table("Images", _FOUND[1:], [Line(line.cells[1:]) for line in lines]) + drawn + _unsure(report, merged)
    return table("Images of each method", _FOUND, lines) + drawn + _unsure(report, merged)


def _unsure(report: Report, merged: Sequence[Row], count: int = 20) -> str:
    """The images of ours that a user should look at first."""
    own = [row for row in merged if row["method"] == report.ours and row["confidence"] is not None]
    own.sort(key=lambda row: (row["confidence"], key_of(row)))
    lines = []
    shown = ("image", "status") if report.is_plain else ("image", "class", "reference", "status")
    for row in own[:count]:
        names = [text(row[name]) for name in shown]
        lines.append(Line([*names, decimal(row["confidence"]), decimal(row["area"])]))
    columns = [Column(name.capitalize(), False) for name in shown]
    columns += [Column("Confidence"), Column("Area", hint="share of the image")]
    return table(f"Least confident first: {len(lines)} of {len(own)} images", columns, lines) if lines else ""
