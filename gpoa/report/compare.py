"""Ours against the other methods: headline tables, wins and losses, distributions, classes. Each function returns HTML.

Legend: `known` are merged rows that have an IoU (`gpoa.report.data.scored`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from gpoa.evaluation.protocol import TIE
from gpoa.evaluation.summary import Duel
from gpoa.report.charts import (
    BLUE,
    GREY,
    HATCHED,
    LIGHT,
    ORANGE,
    PALE,
    STRIPED,
    Bars,
    Part,
    Series,
    bar_chart,
    legend,
    stacked_chart,
    strip_chart,
)
from gpoa.report.data import (
    ClassStanding,
    Group,
    Key,
    Report,
    Row,
    Standing,
    class_standings,
    image_differences,
    key_of,
    mean_over_sets,
    merge_seeds,
    ranked_methods,
    scored,
)
from gpoa.report.html import NOTHING, Column, Line, decimal, figure, paragraph, percent, table, text

_CHUNK = 18
"""Classes in one chart: more do not fit on a printed page."""
_HEADLINE = (
    Column("Method", False),
    Column("Images"),
    Column("Mean IoU", hint="mean over the images of a class, then the classes of a set, then the sets"),
    Column("Ours − method", hint="difference of the mean IoUs, with its paired bootstrap 95 % interval"),
    Column("Better / equal / worse", hint=f"images where ours is better, equal (within {TIE} IoU), worse"),
    Column("Ours worse", hint=f"share of the images where ours is worse by more than {TIE} IoU"),
    Column("Dice"),
    Column("Boundary IoU"),
    Column("HD95, px", hint="95th percentile of the surface distances, both ways, over the images where it is defined"),
    Column("Decoder calls", hint="mean over images"),
    Column("Seconds", hint="mean over images"),
)
_OTHERS = {
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "assd": "ASSD, px",
}


def groups_of(report: Report, known: Sequence[Row]) -> list[Group]:
    """The report's groups of classes, or one with all."""
    everything = tuple(sorted({row["class"] for row in known}))
    return list(report.groups) or [Group("All classes", everything)]


def headline_section(report: Report, known: Sequence[Row], found: Sequence[tuple[Group, Sequence[Standing]]]) -> str:
    """A headline table for each group of classes, and one with the remaining metrics for the first.

    Args:
        report: for names and seeds.
        known: scored rows.
        found: the standings of each group.
    """
    parts = []
    for group, standings in found:
        present = {row["class"] for row in scored(known, group.classes)}
        classes = "1 class" if len(present) == 1 else f"{len(present)} classes"
        parts.append(_headline(report, f"{group.title} ({classes})", standings))
        parts.append(_seeds(report, present))
    notes = f"Methods are ordered by mean IoU; ours, {report.name(report.ours)}, is marked."
    if any(one.duel is not None for _, standings in found for one in standings):
        notes += (
            f" A comparison uses the images that both methods have; equal means within {TIE} IoU. Intervals resample "
            "the images within classes, so they do not say how other classes would come out."
        )
    return "".join(parts) + paragraph(notes, "note") + _other_metrics(report, *found[0])


def _headline(report: Report, title: str, standings: Sequence[Standing]) -> str:
    """One headline table."""
    if not standings:
        return paragraph(f"{title}: no image was scored.", "note")
    lines = []
    for one in standings:
        images = str(one.images) + (f" ({one.failed} failed)" if one.failed else "")
        cells = [
            text(report.name(one.method)),
            text(images),
            decimal(one.means["iou"]),
            *_duel_cells(one.duel),
            *(decimal(one.means[name]) for name in ("dice", "boundary_iou")),
            *(decimal(one.means[name], 1) for name in ("hd95", "calls")),
            decimal(one.means["seconds"], 2),
        ]
        lines.append(Line(cells, one.method == report.ours))
    kept = [place for place in range(len(_HEADLINE)) if any(line.cells[place] != NOTHING for line in lines)]
    lines = [line._replace(cells=[line.cells[place] for place in kept]) for line in lines]
    return table(title, [_HEADLINE[place] for place in kept], lines)


def _duel_cells(one: Duel | None) -> list[str]:
    """Difference with interval, outcomes, share worse."""
    if one is None:
        return [NOTHING] * 3
    bounds = " to ".join(decimal(value, 3, sign=True) for value in (one.low, one.high))
    difference = f'{decimal(one.difference, 3, sign=True)} <span class="interval">{bounds}</span>'
    return [difference, f"{one.wins} / {one.ties} / {one.losses}", percent(one.share_lost)]


def _seeds(report: Report, classes: set[str]) -> str:
    """Ours for each seed, where there are several, on the images that all of them have."""
    rows = [row for row in report.rows if row["method"] == report.ours and row["class"] in classes]
    by_seed: dict[object, list[Row]] = {}
    for row in rows:
        by_seed.setdefault(row.get("seed", 0), []).append(row)
    shared = set.intersection(*({key_of(row) for row in own} for own in by_seed.values())) if by_seed else set()
    if len(by_seed) < 2 or not shared:
        return ""
    means = {
        seed: mean_over_sets(scored(merge_seeds([row for row in own if key_of(row) in shared])), "iou")
        for seed, own in by_seed.items()
    }
    shown = ", ".join(f"{decimal(means[seed])} (seed {seed})" for seed in sorted(means, key=str))
    words = f"Mean IoU of ours for each seed, on the {len(shared)} images that all seeds have: {shown}."
    return paragraph(f"{words} The table takes the mean of the seeds for each image.", "note")


def _other_metrics(report: Report, group: Group, standings: Sequence[Standing]) -> str:
    """Precision and the like; only columns that some method has."""
    names = [name for name in _OTHERS if any(one.means[name] is not None for one in standings)]
    if not names:
        return ""
    lines = []
    for one in standings:
        values = [decimal(one.means[name], 1 if name == "assd" else 3) for name in names]
        cells = [text(report.name(one.method)), *values, str(one.absent), str(one.failed)]
        lines.append(Line(cells, one.method == report.ours))
    columns = [Column("Method", False), *(Column(_OTHERS[name]) for name in names)]
    return table(f"Other metrics: {group.title}", [*columns, Column("Called absent"), Column("Failed")], lines)


def loss_section(report: Report, known: Sequence[Row]) -> str:
    """How often ours wins, ties and loses against each method, and on which classes another method is better."""
    deltas = {}
    for method in ranked_methods(known, report.ours):
        delta = image_differences(known, report.ours, method)
        if method != report.ours and len(delta):
            deltas[method] = delta
    if not deltas:
        return ""
    parts = [Part("ours better", BLUE), Part("equal", PALE), Part("ours worse", STRIPED)]
    bars = []
    for method, delta in deltas.items():
        won, lost = int((delta > TIE).sum()), int((delta < -TIE).sum())
        shares = [100 * count / len(delta) for count in (won, len(delta) - won - lost, lost)]
        note = f"worse on {lost} of {len(delta)} ({percent(lost / len(delta))})"
        bars.append((report.name(method), shares, note))
    chart = stacked_chart("Share of images better, equal, worse", parts, bars, "share of the images, %", 100.0)
    caption = f"Images of all classes where ours is better, equal (within {TIE} IoU) or worse than each method."
    words = paragraph(_any_better(report, known), "intro")
    return words + legend(parts) + figure(chart, caption) + _loss_table(report, known, deltas)


def _any_better(report: Report, known: Sequence[Row]) -> str:
    """In how many images at least one other method is better, and which is best there most often."""
    best: dict[Key, tuple[float, str]] = {}
    ours = {key_of(row): row["iou"] for row in known if row["method"] == report.ours}
    for row in known:
        if row["method"] != report.ours:
            best[key_of(row)] = max(best.get(key_of(row), (-1.0, "")), (row["iou"], row["method"]))
    lost = [best[key][1] for key, value in ours.items() if key in best and best[key][0] - value > TIE]
    if not lost:
        return f"No other method is better than ours by more than {TIE} IoU on any of {len(ours)} images."
    counts = ", ".join(f"{report.name(name)} ({count})" for name, count in Counter(lost).most_common())
    return (
        f"On {len(lost)} of {len(ours)} images ({percent(len(lost) / len(ours))}) at least one other method is better "
        f"than ours by more than {TIE} IoU. The best of all on these images: {counts}."
    )


def _loss_table(report: Report, known: Sequence[Row], deltas: dict[str, np.ndarray]) -> str:
    """Where each method beats ours: how far on the lost images, and on which classes."""
    classes = [one for one in class_standings(known, report.ours) if report.ours in one.means]
    lines = []
    for method, delta in deltas.items():
        lost = delta[delta < -TIE]
        gaps = {one.name: one.means[method] - one.means[report.ours] for one in classes if method in one.means}
        won = sorted(((gap, name) for name, gap in gaps.items() if gap > 0), reverse=True)
        shown = ", ".join(f"{name} ({decimal(gap, 3, sign=True)})" for gap, name in won[:8])
        shown += f" and {len(won) - 8} more" if len(won) > 8 else ""
        cells = [
            text(report.name(method)),
            str(len(lost)),
            percent(len(lost) / len(delta)),
            decimal(float(lost.mean()) if len(lost) else None, 3, sign=True),
            f"{len(won)} of {len(gaps)}",
            text(shown) or NOTHING,
        ]
        lines.append(Line(cells))
    columns = [
        Column("Method", False),
        Column("Images lost", hint=f"images where it is better than ours by more than {TIE} IoU"),
        Column("Share"),
        Column("Mean loss there"),
        Column("Classes lost", hint="classes where its mean IoU is higher than ours"),
        Column("Which, and by how much (mean IoU)", False),
    ]
    return table("Where we lose, and to whom", columns, lines)


def distribution_section(report: Report, known: Sequence[Row]) -> str:
    """IoU of every image, a line for each method."""
    series = [
        Series(report.name(method), np.array([row["iou"] for row in known if row["method"] == method]), color)
        for method in ranked_methods(known, report.ours)
        for color in [method_color(report, method)]
    ]
    caption = (
        "IoU of every image (dots), quartiles (box), 5th to 95th percentile (line), median (thick stroke, number at "
        "the right), mean over images (diamond)."
    )
    title = "Distribution of the IoU"
    if not report.is_plain:
        caption, title = f"{caption} Ours blue, before the agent orange, others grey.", f"{title} for each method"
    return figure(strip_chart(title, series, "IoU"), caption)


def method_color(report: Report, method: str) -> str:
    """Ours blue, the start orange, all others grey; labels tell which is which."""
    return BLUE if method == report.ours else ORANGE if method == report.start else GREY


def class_section(report: Report, known: Sequence[Row]) -> str:
    """Bars of ours, the best other and the start on each class, the winner named; and the numbers."""
    classes = class_standings(known, report.ours)
    parts = [Part("ours", BLUE), Part("best other method", LIGHT), Part("before the agent", HATCHED)]
    drawn = [place for place in range(3) if any(_bar_values(report, one)[place] is not None for one in classes)]
    charts = []
    size = math.ceil(len(classes) / math.ceil(len(classes) / _CHUNK))
    for first in range(0, len(classes), size):
        bars = [
            Bars(
                one.name, [_bar_values(report, one)[k] for k in drawn], _winner(report, one), one.winner != report.ours
            )
            for one in classes[first : first + size]
        ]
        charts.append(bar_chart("Mean IoU for each class", [parts[k] for k in drawn], bars, "mean IoU"))
    head = legend([parts[k] for k in drawn])
    caption = ""
    if any(len(one.means) > 1 for one in classes):
        won = Counter(one.winner for one in classes)
        shown = ", ".join(f"{report.name(name)} {count}" for name, count in won.most_common())
        head = paragraph(f"Classes won, of {len(classes)}: {shown}.", "intro") + head
        caption = (
            "Behind the bars: the best of all methods on the class (bold where it is not ours) and how far it is above "
            "ours; where ours wins, how far ours is above the next best."
        )
    figures = "".join(figure(chart, caption if chart is charts[-1] else "") for chart in charts)
    return head + figures + _class_table(report, classes)


def _bar_values(report: Report, one: ClassStanding) -> list[float | None]:
    """Ours, the best of the others, the start."""
    others = [value for method, value in one.means.items() if method not in (report.ours, report.start)]
    start = one.means.get(report.start) if report.start not in (None, report.ours) else None
    return [one.means.get(report.ours), max(others, default=None), start]


def _winner(report: Report, one: ClassStanding) -> str:
    """Who is best, and by how much; the value where there is no other."""
    if len(one.means) < 2:
        return decimal(one.means[one.winner])
    return f"{report.name(one.winner)} {decimal(one.margin, 3, sign=True)}"


def _class_table(report: Report, classes: Sequence[ClassStanding]) -> str:
    """Mean IoU of all methods on all classes."""
    methods = list(dict.fromkeys(method for one in classes for method in one.means))
    methods.sort(key=lambda method: (method != report.ours, method != report.start))
    lines = []
    for one in classes:
        values = [decimal(one.means.get(method)) for method in methods]
        values = [f"<b>{v}</b>" if method == one.winner else v for method, v in zip(methods, values, strict=True)]
        margin = decimal(one.margin, 3, sign=True) if len(one.means) > 1 else NOTHING
        lines.append(Line([text(one.name), str(one.images), *values, margin]))
    columns = [Column("Class", False), Column("Images"), *(Column(report.name(method)) for method in methods)]
    columns.append(Column("Margin", hint="how far the best is above ours; where ours is best, above the next"))
    return table("Mean IoU for each class; the best is bold", columns, lines)
