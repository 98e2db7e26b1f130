"""Galleries: which images they show, and their pictures as data URIs.

Masks are drawn by `gpoa.viewer.overlays`. Prompts are SVG shapes over the picture, because drawn into it they would
shrink with it in the browser.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from gpoa.evaluation.metrics import iou
from gpoa.report.charts import BLUE, STRIPED, Part, legend
from gpoa.report.data import Case, Key, Report, Row, merge_seeds
from gpoa.report.html import decimal, paragraph, text
from gpoa.types import PointPrompts
from gpoa.viewer.overlays import BOX_COLOR, CONTOUR_COLOR, MASK_COLOR, NEGATIVE_COLOR, POSITIVE_COLOR, draw_overlay

SIDE = 320
MAX_CASES = 150
PICTURE_BYTES = 10_000_000
"""All pictures of a report together, before base64 makes them a third longer."""


def _css(color: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in color)


MISSED_COLOR, EXTRA_COLOR = (0, 114, 178), (213, 94, 0)
_LEVELS = ((SIDE, 86), (SIDE, 70), (240, 70), (160, 60), (96, 50))
_COVERED = 64
_MASK_MARK = (
    f'<rect x="2" y="2" width="18" height="10" fill="{_css(MASK_COLOR)}" '
    f'stroke="{_css(CONTOUR_COLOR)}" stroke-width="2"/>'
)
_TITLES = {"worst": "Worst", "median": "Around the median", "best": "Best"}
_UNSCORED_TITLES = {"worst": "Least confident", "median": "Around the median confidence", "best": "Most confident"}


class Panel(NamedTuple):
    """A picture of a case: its caption, its description for those who do not see it, and SVG shapes to lay over it."""

    caption: str
    description: str
    picture: Image.Image
    shapes: str = ""


def choose_cases(rows: Sequence[Row], method: str, count: int) -> dict[str, list[Key]]:
    """Which images to show: those of lowest, middle and highest IoU; without ground truth, of confidence.

    Every class gives one image before any gives a second, and no image is chosen twice.

    Args:
        rows: see `Report`.
        method: whose scores decide.
        count: at most this many images for each of the three.

    Returns:
        "worst", "median" and "best", each a list of (class, reference, image), the most extreme (or most middle) first.
    """
    merged = [row for row in merge_seeds(rows) if row["method"] == method]
    name = "iou" if any(row["iou"] is not None for row in merged) else "confidence"
    values = {(row["class"], row["reference"], row["image"]): row[name] for row in merged if row[name] is not None}
    count = min(count, math.ceil(len(values) / 3))
    middle = float(np.median(list(values.values()))) if values else 0.0
    worst = _spread(values, count)
    left = {key: -value for key, value in values.items() if key not in worst}
    best = _spread(left, count)
    left = {key: round(abs(values[key] - middle), 9) for key in left if key not in best}
    return {"worst": worst, "median": _spread(left, count), "best": best}


def _spread(values: dict[Key, float], count: int) -> list[Key]:
    """The keys of the smallest values, as many classes as possible."""
    turns: dict[str, int] = {}
    ranked = []
    for key in sorted(values, key=lambda key: (values[key], key)):
        turn = turns[key[0]] = turns.get(key[0], -1) + 1
        ranked.append((turn, values[key], key))
    chosen = sorted(ranked)[:count]
    return [key for _, _, key in sorted(chosen, key=lambda entry: entry[1:])]


def galleries(report: Report, has_truth: bool) -> str:
    """All cases with their pictures, under worst, median and best where `choose_cases` chose them."""
    if not report.cases:
        return ""
    parts = [_legend(report, has_truth)]
    if len(report.cases) > MAX_CASES:
        parts.append(paragraph(f"The first {MAX_CASES} of {len(report.cases)} images are shown.", "note"))
    shown = report.cases[:MAX_CASES]
    budget = PICTURE_BYTES // (6 * len(shown))
    for title, cases in _sorted(report, shown, has_truth):
        figures = "".join(_case(report, case, budget) for case in cases)
        parts.append(f"<h3>{text(title)}</h3>{figures}")
    return "".join(parts)


def _sorted(report: Report, cases: Sequence[Case], has_truth: bool) -> list[tuple[str, list[Case]]]:
    """The cases under their headings: by score, then those that name a gallery."""
    named: dict[str, list[Case]] = {}
    for case in cases:
        if case.gallery:
            named.setdefault(case.gallery, []).append(case)
    others = [case for case in cases if not case.gallery]
    if report.is_plain and has_truth and others and all(case.confidence is not None for case in others):
        return [("Least sure first", sorted(others, key=lambda case: (case.confidence, case.key))), *named.items()]
    return [*(_by_score(report, others, has_truth) if others else []), *named.items()]


def _by_score(report: Report, cases: Sequence[Case], has_truth: bool) -> list[tuple[str, list[Case]]]:
    """Worst, median and best; the caller chose with a count that we do not know, so it is the smallest that fits."""
    keys = {case.key for case in cases}
    merged = merge_seeds([row for row in report.rows if row["method"] == report.ours])
    for count in range(1, len(keys) + 1):
        chosen = choose_cases(merged, report.ours, count)
        if keys <= {key for group in chosen.values() for key in group}:
            titles = _TITLES if has_truth else _UNSCORED_TITLES
            by_key = {
                titles[name]: [case for key in group for case in cases if case.key == key]
                for name, group in chosen.items()
            }
            return [(title, found) for title, found in by_key.items() if found]
    return [("Selected images", list(cases))]


def _legend(report: Report, has_truth: bool) -> str:
    """What the marks mean."""
    marks = (
        f'<ul class="legend"><li>{_mark(_disc(11, 7, 5))}positive point</li>'
        f"<li>{_mark(_cross(11, 7, 5))}negative point</li>"
        f"<li>{_mark(_frame(2, 2, 20, 12))}box</li>"
        f"<li>{_mark(_MASK_MARK)}mask, outlined</li></ul>"
    )
    errors = [Part("predicted, but not true (false positive, striped)", STRIPED), Part("missed (false negative)", BLUE)]
    return f'<div class="legends">{marks}{legend(errors) if has_truth else ""}</div>'


def _case(report: Report, case: Case, budget: int) -> str:
    """One row of pictures with its scores above."""
    names = {"iou": "IoU", "dice": "Dice", "boundary_iou": "boundary IoU", "hd95": "HD95"}
    facts = [
        f"{label} {decimal(case.scores[name], 1 if name == 'hd95' else 3)}"
        for name, label in names.items()
        if case.scores.get(name) is not None and math.isfinite(case.scores[name])
    ]
    if case.confidence is not None:
        facts.append(f"confidence {decimal(case.confidence, 2)}")
    facts.append(f"area {100 * float(case.mask.mean()):.1f} % of the image")
    reference = f"reference {text(case.reference_name)} · " if case.reference_name else ""
    head = f"<strong>{text(case.image_name)}</strong><br>{text(', '.join(facts))}" if report.is_plain else (
        f"<strong>{text(case.class_name)}</strong> · image {text(case.image_name)} · {reference}"
        f"{text(report.name(case.method))}<br>{text(', '.join(facts))}"
    )
    panels = "".join(_panel(panel, budget) for panel in _panels(case))
    return f'<figure class="case"><figcaption>{head}</figcaption><div class="panels">{panels}</div></figure>'


def _panels(case: Case) -> list[Panel]:
    """Reference, prompts, start, answer, truth, errors: those that there are."""
    base = _small(case.image)
    panels = []
    if case.reference_image is not None and case.reference_mask is not None:
        reference = _tinted(case.reference_image, case.reference_mask)
        panels.append(Panel("reference and its mask", f"reference {case.reference_name} with its mask", reference))
    panels.append(Panel(_prompt_caption(case.prompts), f"image {case.image_name}", base, _shapes(case, base.size)))
    if case.start is not None:
        panels.append(
            Panel(
                "before the agent" + _score(case.start, case.truth),
                "mask before the agent",
                _tinted(case.image, case.start),
            )
        )
    panels.append(Panel("answer" + _score(case.mask, case.truth), "predicted mask", _tinted(case.image, case.mask)))
    if case.truth is not None:
        panels.append(Panel("ground truth", "true mask", _tinted(case.image, case.truth)))
        panels.append(
            Panel("errors", "false positives and false negatives", error_map(case.image, case.mask, case.truth))
        )
    return panels


def _score(mask: np.ndarray, truth: np.ndarray | None) -> str:
    return "" if truth is None or mask.shape != truth.shape else f", IoU {decimal(iou(mask, truth))}"


def _prompt_caption(prompts: PointPrompts | None) -> str:
    """What the prompts are, in words."""
    if prompts is None:
        return "image"
    positive = int((np.asarray(prompts.point_labels) == 1).sum())
    parts = [f"{positive} positive", f"{len(prompts.point_labels) - positive} negative"]
    parts += ["box"] * (prompts.box is not None) + ["mask prompt"] * (prompts.mask_prompt is not None)
    return "prompts: " + ", ".join(parts)


def error_map(image: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> Image.Image:
    """False positives striped vermillion, false negatives solid blue, over a pale grey picture.

    Args:
        image: [H, W, 3] uint8 RGB.
        mask: [H, W] bool.
        truth: [H, W] bool.

    Returns:
        The picture, its longest side at most `SIDE`.
    """
    small = _small(image)
    grey = np.asarray(small.convert("L"), dtype=np.float32)[..., None]
    pixels = np.repeat(150 + 0.4 * grey, 3, axis=2).clip(0, 255)
    extra, missed = _small_mask(mask & ~truth, small.size), _small_mask(truth & ~mask, small.size)
    rows, columns = np.indices(extra.shape)
    pixels[missed] = MISSED_COLOR
    pixels[extra] = EXTRA_COLOR
    pixels[extra & ((rows + columns) % 9 < 3)] = 255
    return Image.fromarray(pixels.round().astype(np.uint8))


def _tinted(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    """A small picture with its mask."""
    small = _small(image)
    return draw_overlay(np.asarray(small), _small_mask(mask, small.size))


def _small(image: np.ndarray) -> Image.Image:
    """Shrinks to `SIDE`; never enlarges."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.LANCZOS)


def _small_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Shrinks a mask. A pixel counts when a quarter of it is covered, or thin structures would vanish."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(picture) >= _COVERED


def _shapes(case: Case, size: tuple[int, int]) -> str:
    """The prompts in the small picture's frame, as SVG."""
    if case.prompts is None:
        return ""
    height, width = case.image.shape[:2]
    across, down = size[0] / width, size[1] / height
    radius = max(size) / 48
    drawn = []
    if case.prompts.box is not None:
        x0, y0, x1, y1 = (float(value) for value in case.prompts.box)
        drawn.append(_frame(x0 * across, y0 * down, x1 * across, y1 * down))
    for (x, y), label in zip(case.prompts.point_coords, case.prompts.point_labels, strict=True):
        mark = _disc if label == 1 else _cross
        drawn.append(mark((float(x) + 0.5) * across, (float(y) + 0.5) * down, radius))
    return "".join(drawn)


def _disc(x: float, y: float, radius: float) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{_css(POSITIVE_COLOR)}" stroke="#fff" '
        f'stroke-width="{radius / 3:.1f}"/>'
    )


def _cross(x: float, y: float, radius: float) -> str:
    path = (
        f"M{x - radius:.1f} {y - radius:.1f}L{x + radius:.1f} {y + radius:.1f}"
        f"M{x - radius:.1f} {y + radius:.1f}L{x + radius:.1f} {y - radius:.1f}"
    )
    return (
        f'<path d="{path}" stroke="#fff" stroke-width="{radius:.1f}"/>'
        f'<path d="{path}" stroke="{_css(NEGATIVE_COLOR)}" stroke-width="{radius / 2:.1f}"/>'
    )


def _frame(x0: float, y0: float, x1: float, y1: float) -> str:
    return (
        f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{max(0.0, x1 - x0):.1f}" height="{max(0.0, y1 - y0):.1f}" '
        f'fill="none" stroke="{_css(BOX_COLOR)}" stroke-width="2.5"/>'
    )


def _mark(shape: str) -> str:
    return f'<svg width="22" height="14" aria-hidden="true">{shape}</svg>'


def _panel(panel: Panel, budget: int) -> str:
    """A picture as SVG with a data URI, so that its shapes lie over it."""
    width, height = panel.picture.size
    return (
        f'<div class="panel"><svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{text(panel.description)}"><image href="{_data_uri(panel.picture, budget)}" '
        f'width="{width}" height="{height}"/>{panel.shapes}</svg><span>{text(panel.caption)}</span></div>'
    )


def _data_uri(picture: Image.Image, budget: int) -> str:
    """The best JPEG within `budget` bytes; the coarsest where none fits."""
    data = b""
    for side, quality in _LEVELS:
        buffer = io.BytesIO()
        small = picture.copy()
        small.thumbnail((side, side))
        small.save(buffer, "JPEG", quality=quality, subsampling=0)
        data = buffer.getvalue()
        if len(data) <= budget:
            break
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
