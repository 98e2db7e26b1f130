"""Charts as inline SVG: text stays text, nothing is loaded, and they print sharply.

Colours are Okabe and Ito's; whatever a colour tells is told by a label, a hatch or a shape as well. Lengths are SVG
units, one CSS pixel at full width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpoa.report.html import decimal, text

BLUE, GREEN, ORANGE, VERMILLION = "#0072b2", "#009e73", "#e69f00", "#d55e00"
INK, GREY, LIGHT, PALE = "#222222", "#8c8c8c", "#b5b5b5", "#e3e3e3"
WIDTH = 860
_CHARACTER = 6.4
DEFINITIONS = (
    '<svg width="0" height="0" class="definitions" aria-hidden="true"><defs>'
    f'<pattern id="striped" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="6" height="6" fill="{VERMILLION}"/><rect width="2.4" height="6" fill="#fff"/></pattern>'
    f'<pattern id="hatched" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="6" height="6" fill="{ORANGE}"/><rect width="2" height="6" fill="#fff"/></pattern>'
    f'<pattern id="dotted" width="6" height="6" patternUnits="userSpaceOnUse">'
    f'<rect width="6" height="6" fill="{PALE}"/><circle cx="3" cy="3" r="1.2" fill="{GREY}"/></pattern>'
    "</defs></svg>"
)
"""Hatches that the charts and legends of a page use; once in each page."""
STRIPED, HATCHED, DOTTED = "url(#striped)", "url(#hatched)", "url(#dotted)"


class Series(NamedTuple):
    """Values of one method: its label, [N] values, its colour."""

    label: str
    values: np.ndarray
    color: str


class Part(NamedTuple):
    """A kind of segment in a stacked chart, or an entry of a legend: its name and fill."""

    name: str
    fill: str


class Bars(NamedTuple):
    """The bars of one class.

    Args:
        label: the class.
        values: one for each part of the chart, or None.
        note: text behind the bars.
        marked: the note stands out.
    """

    label: str
    values: Sequence[float | None]
    note: str
    marked: bool


class Curve(NamedTuple):
    """A line of a plane: its label, points, colour, dash pattern, and whether its points are marked."""

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    color: str
    dash: str = ""
    marks: bool = False


def strip_chart(title: str, series: Sequence[Series], axis: str, low: float = 0.0, high: float = 1.0) -> str:
    """Box (quartiles), whiskers (5 % to 95 %), mean (diamond) and every value as a dot, a line for each series."""
    gutter, row, top = _gutter([s.label for s in series]), 34, 8
    height = top + row * len(series) + 40
    scale = _Scale(low, high, gutter, WIDTH - 64)
    parts = [_grid(scale, top, height - 40, axis)]
    for index, one in enumerate(series):
        middle = top + row * index + row / 2
        parts.append(_label(one.label, gutter - 10, middle + 4))
        if len(one.values):
            parts.append(_strip(one, scale, middle))
            parts.append(_text(WIDTH - 56, middle + 4, decimal(float(np.median(one.values)))))
    return _svg(title, WIDTH, height, parts)


def _strip(series: Series, scale: _Scale, middle: float) -> str:
    """Dots in the lower half of a line, the box over them."""
    values = np.asarray(series.values, dtype=float)
    jitter = (np.arange(len(values)) * 0.618034) % 1.0  # golden-ratio steps spread evenly and are the same every time
    dots = _dots(scale(values), middle + (jitter - 0.5) * 22)
    p5, q1, median, q3, p95 = (float(scale(v)) for v in np.percentile(values, [5, 25, 50, 75, 95]))
    mean = float(scale(values.mean()))
    return (
        f'<path d="{dots}" stroke="{series.color}" stroke-width="4" stroke-linecap="round" opacity=".5"/>'
        f'<path d="M{p5:.1f} {middle}H{q1:.1f}M{q3:.1f} {middle}H{p95:.1f}" stroke="{INK}" stroke-width="1.2"/>'
        f'<rect x="{q1:.1f}" y="{middle - 5}" width="{max(q3 - q1, 1):.1f}" height="10" fill="#fff" '
        f'fill-opacity=".6" stroke="{INK}" stroke-width="1.2"/>'
        f'<path d="M{median:.1f} {middle - 5}v10" stroke="{INK}" stroke-width="2.6"/>'
        f'<path d="M{mean:.1f} {middle - 4}l4 4l-4 4l-4 -4z" fill="#fff" stroke="{INK}" stroke-width="1.2"/>'
    )


def bar_chart(title: str, parts: Sequence[Part], groups: Sequence[Bars], axis: str) -> str:
    """Horizontal bars, one for each part, grouped by class; a note behind each group."""
    gutter, thick, gap, top = _gutter([g.label for g in groups]), 9, 10, 8
    row = thick * len(parts) + gap
    height = top + row * len(groups) + 40
    scale = _Scale(0.0, 1.0, gutter, WIDTH - 224)
    drawn = [_grid(scale, top, height - 40, axis)]
    for index, group in enumerate(groups):
        y = top + row * index + gap / 2
        middle = y + thick * len(parts) / 2 + 4
        drawn.append(_label(group.label, gutter - 10, middle))
        for place, (part, value) in enumerate(zip(parts, group.values, strict=True)):
            if value is not None:
                width = float(scale(value)) - gutter
                drawn.append(
                    f'<rect x="{gutter}" y="{y + thick * place:.1f}" width="{max(width, 0.5):.1f}" '
                    f'height="{thick - 1}" fill="{part.fill}"><title>{text(part.name)}: {decimal(value)}</title></rect>'
                )
        drawn.append(_text(WIDTH - 210, middle, _shorten(group.note, 31), bold=group.marked, full=group.note))
    return _svg(title, WIDTH, height, drawn)


def stacked_chart(
    title: str, parts: Sequence[Part], rows: Sequence[tuple[str, Sequence[float], str]], axis: str, high: float
) -> str:
    """Horizontal stacked bars.

    Args:
        title: for screen readers.
        parts: the segments' names and fills, from the left.
        rows: (label, value of each part, text behind the bar).
        axis: label of the axis.
        high: its end.
    """
    gutter, row, top = _gutter([label for label, _, _ in rows]), 26, 8
    height = top + row * len(rows) + 40
    scale = _Scale(0.0, high, gutter, WIDTH - 200)
    drawn = [_grid(scale, top, height - 40, axis)]
    for index, (label, values, note) in enumerate(rows):
        y, done = top + row * index + 4, 0.0
        drawn.append(_label(label, gutter - 10, y + 13))
        for part, value in zip(parts, values, strict=True):
            x0, x1 = float(scale(done)), float(scale(done + value))
            done += value
            if value > 0:
                drawn.append(
                    f'<rect x="{x0:.1f}" y="{y}" width="{x1 - x0:.1f}" height="{row - 8}" fill="{part.fill}" '
                    f'stroke="#fff" stroke-width=".8"><title>{text(part.name)}: {value:.4g}</title></rect>'
                )
        drawn.append(_text(WIDTH - 190, y + 13, note))
    return _svg(title, WIDTH, height, drawn)


def plane_chart(
    title: str,
    labels: tuple[str, str],
    dots: tuple[np.ndarray, np.ndarray] | None,
    curves: Sequence[Curve],
    y_range: tuple[float, float] = (0.0, 1.0),
) -> str:
    """A plane with dots and lines; the horizontal axis runs from 0 to 1.

    Args:
        title: for screen readers.
        labels: of the horizontal and the vertical axis.
        dots: ([N], [N]) or None.
        curves: each named at its end or, where it has no label, not at all.
        y_range: of the vertical axis.
    """
    width, height, left, bottom = 460, 380, 56, 330
    x, y = _Scale(0.0, 1.0, left, width - 20), _Scale(*y_range, bottom, 14)
    drawn = [_grid(x, 14, bottom, labels[0])]
    for tick in y.ticks():
        drawn.append(f'<path d="M{left} {y(tick):.1f}H{width - 20}" stroke="{PALE}"/>')
        drawn.append(_text(left - 6, float(y(tick)) + 4, y.show(tick), anchor="end"))
    drawn.append(
        f'<text transform="translate(14 {(14 + bottom) / 2}) rotate(-90)" text-anchor="middle">{text(labels[1])}</text>'
    )
    if dots is not None and len(dots[0]):
        path = _dots(x(np.asarray(dots[0])), y(np.asarray(dots[1])))
        drawn.append(f'<path d="{path}" stroke="{BLUE}" stroke-width="5" stroke-linecap="round" opacity=".42"/>')
    for curve in curves:
        drawn.append(_curve(curve, x, y))
    return _svg(title, width, height, drawn)


def _curve(curve: Curve, x: _Scale, y: _Scale) -> str:
    """One line with its marks."""
    points = [(float(x(a)), float(y(b))) for a, b in zip(curve.x, curve.y, strict=True)]
    line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    dash = f' stroke-dasharray="{curve.dash}"' if curve.dash else ""
    name = f"<title>{text(curve.label)}</title>" if curve.label else ""
    drawn = f'<path d="{line}" fill="none" stroke="{curve.color}" stroke-width="2.2"{dash}>{name}</path>'
    if curve.marks:
        drawn += "".join(
            f'<rect x="{a - 4:.1f}" y="{b - 4:.1f}" width="8" height="8" fill="#fff" stroke="{curve.color}" '
            f'stroke-width="2"/>'
            for a, b in points
        )
    return drawn


def sorted_chart(title: str, values: np.ndarray, axis: str) -> str:
    """Signed values from smallest to largest, a bar each: above zero solid, below zero striped."""
    width, height, left, bottom = 460, 380, 56, 330
    values = np.sort(np.asarray(values, dtype=float))
    y = _Scale(min(-0.05, float(values.min(initial=0.0))), max(0.05, float(values.max(initial=0.0))), bottom, 14)
    step = (width - 20 - left) / max(1, len(values))
    drawn = []
    for tick in y.ticks():
        drawn.append(f'<path d="M{left} {y(tick):.1f}H{width - 20}" stroke="{PALE}"/>')
        drawn.append(_text(left - 6, float(y(tick)) + 4, y.show(tick, sign=True), anchor="end"))
    for index, value in enumerate(values):
        top, low = sorted((float(y(0.0)), float(y(value))))
        fill = GREEN if value >= 0 else STRIPED
        drawn.append(
            f'<rect x="{left + step * index:.2f}" y="{top:.1f}" width="{max(step * 0.86, 0.6):.2f}" '
            f'height="{max(low - top, 0.5):.1f}" fill="{fill}"/>'
        )
    drawn.append(f'<path d="M{left} {y(0.0):.1f}H{width - 20}" stroke="{INK}"/>')
    drawn.append(_text((left + width - 20) / 2, bottom + 24, "images, from most lost to most gained", anchor="middle"))
    drawn.append(
        f'<text transform="translate(14 {(14 + bottom) / 2}) rotate(-90)" text-anchor="middle">{text(axis)}</text>'
    )
    return _svg(title, width, height, drawn)


def size_histogram(title: str, values: np.ndarray, bins: int, axis: str, color: str) -> str:
    """How many values lie in each of equally wide bins.

    Args:
        title: for screen readers.
        values: [N] numbers >= 0, at least one.
        bins: how many.
        axis: what the values are.
        color: of the bars.
    """
    width, height, left, bottom = WIDTH, 300, 56, 250
    high = float(values.max()) or 1.0
    counts, edges = np.histogram(values, bins=bins, range=(0, high))
    x, y = _Scale(0.0, high, left, width - 20), _Scale(0.0, max(1.0, float(counts.max())), bottom, 14)
    drawn = [_grid(x, 14, bottom, axis)]
    for tick in y.ticks():
        drawn.append(f'<path d="M{left} {y(tick):.1f}H{width - 20}" stroke="{PALE}"/>')
        drawn.append(_text(left - 6, float(y(tick)) + 4, y.show(tick), anchor="end"))
    for count, start, stop in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            begin, end = float(x(start)), float(x(stop))
            drawn.append(
                f'<rect x="{begin:.1f}" y="{float(y(count)):.1f}" width="{max(end - begin - 1, 0.6):.1f}" '
                f'height="{bottom - float(y(count)):.1f}" fill="{color}"><title>{count} of {start:.3g} to '
                f"{stop:.3g}</title></rect>"
            )
    return _svg(title, width, height, drawn)


def legend(parts: Sequence[Part]) -> str:
    """Swatches with names, as HTML. They are drawn, not backgrounds, so that they print."""
    entries = "".join(
        f'<li><svg width="22" height="14" aria-hidden="true"><rect x=".5" y=".5" width="21" height="13" '
        f'fill="{part.fill}" stroke="#555" stroke-width=".6"/></svg>{text(part.name)}</li>'
        for part in parts
    )
    return f'<ul class="legend">{entries}</ul>'


def curve_legend(curves: Sequence[Curve]) -> str:
    """Line samples with names, as HTML."""
    entries = "".join(
        f'<li><svg width="34" height="14" aria-hidden="true">{_sample(curve)}</svg>{text(curve.label)}</li>'
        for curve in curves
    )
    return f'<ul class="legend">{entries}</ul>'


def _sample(curve: Curve) -> str:
    dash = f' stroke-dasharray="{curve.dash}"' if curve.dash else ""
    mark = f'<rect x="13" y="3" width="8" height="8" fill="#fff" stroke="{curve.color}" stroke-width="2"/>'
    return f'<path d="M1 7H33" stroke="{curve.color}" stroke-width="2.2"{dash}/>{mark if curve.marks else ""}'


class _Scale:
    """A linear map from values to SVG units."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float | np.ndarray) -> np.ndarray:
        share = (np.asarray(value, dtype=float) - self.low) / ((self.high - self.low) or 1.0)
        return self.start + share * (self.end - self.start)

    def _step(self) -> float:
        """1, 2 or 5 times a power of ten, so that there are four to ten ticks."""
        span = (self.high - self.low) or 1.0
        power = 10.0 ** np.floor(np.log10(span / 4))
        return float(next(power * factor for factor in (5, 2, 1) if span / (power * factor) >= 4))

    def ticks(self) -> list[float]:
        """Round values within the range."""
        step = self._step()
        first = int(np.ceil(self.low / step - 1e-9))
        return [i * step for i in range(first, int(np.floor(self.high / step + 1e-9)) + 1)]

    def show(self, value: float, sign: bool = False) -> str:
        """A tick's text, as many digits as its step needs."""
        return decimal(value, max(0, int(-np.floor(np.log10(self._step()) + 1e-9))), sign)


def _grid(scale: _Scale, top: float, bottom: float, axis: str) -> str:
    """Vertical grid lines with tick labels below, and the name of the axis."""
    drawn = [f'<path d="M{float(scale(t)):.1f} {top}V{bottom}" stroke="{PALE}"/>' for t in scale.ticks()]
    drawn += [_text(float(scale(t)), bottom + 15, scale.show(t), anchor="middle") for t in scale.ticks()]
    drawn.append(_text((scale.start + scale.end) / 2, bottom + 33, axis, anchor="middle"))
    return "".join(drawn)


def _gutter(labels: Sequence[str]) -> int:
    """Room for the longest label, within limits."""
    return int(min(230, max(90, 20 + _CHARACTER * max(map(len, labels), default=0))))


def _label(label: str, x: float, y: float) -> str:
    """A label that ends at x, cut to the gutter."""
    return _text(x, y, _shorten(label, int((x - 4) / _CHARACTER)), anchor="end", full=label)


def _text(x: float, y: float, content: str, anchor: str = "start", bold: bool = False, full: str = "") -> str:
    """Text; `full` is shown on hover where the content was cut."""
    weight = ' font-weight="700"' if bold else ""
    hint = f"<title>{text(full)}</title>" if full and full != content else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{text(content)}{hint}</text>'


def _shorten(label: str, length: int) -> str:
    """Cuts the middle out of a long label."""
    if len(label) <= length:
        return label
    head = (length - 1) // 2
    return label[:head] + "…" + label[len(label) - (length - 1 - head) :]


def _dots(x: np.ndarray, y: np.ndarray) -> str:
    """A path of points: with round caps each is a dot, at a fifth of the bytes of a circle."""
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    """The chart; it shrinks with its column."""
    return (
        f'<svg class="chart" role="img" aria-label="{text(title)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" font-size="12">{"".join(parts)}</svg>'
    )
