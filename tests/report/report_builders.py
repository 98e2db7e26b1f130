"""A small report whose numbers are worked by hand, and a reader for its page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np

from gpoa.report.report import Case, Group, Report
from gpoa.types import PointPrompts

VOID = {"meta", "link", "br"}

# Two classes, each a set of its own. Mean IoU over images, classes, sets:
#   ours  ((.8 + .6) / 2 + 1.0) / 2 = .85
#   start ((.7 + .7) / 2 + .5) / 2 = .60   ours is better on two images, worse on one
#   other ((.5 + .96) / 2 + .9) / 2 = .815 ours is better on two images, worse on one; other wins class one/a by .03
IOUS = {
    "ours": {("one/a", "1"): 0.8, ("one/a", "2"): 0.6, ("two/b", "3"): 1.0},
    "start": {("one/a", "1"): 0.7, ("one/a", "2"): 0.7, ("two/b", "3"): 0.5},
    "other": {("one/a", "1"): 0.5, ("one/a", "2"): 0.96, ("two/b", "3"): 0.9},
}


def make_rows(truth: bool = True) -> list[dict[str, Any]]:
    """Rows of three methods on three images; without truth only costs and confidences."""
    rows = []
    for method, values in IOUS.items():
        for (name, image), value in values.items():
            scores = {"iou": value, "dice": value, "hd95": 3.0, "precision": 0.5} if truth else {}
            rows.append(
                {
                    "class": name,
                    "reference": "r",
                    "image": image,
                    "method": method,
                    "seed": 0,
                    "status": "ok",
                    **scores,
                    "confidence": value - 0.1 if method == "ours" else "",
                    "area": 0.25,
                    "calls": 4,
                    "seconds": 2.0,
                    "encode_seconds": 1.0,
                    "decode_seconds": 0.5,
                }
            )
    return rows


def make_case(key: tuple[str, str, str] = ("one/a", "r", "1"), truth: bool = True) -> Case:
    """Grey pictures of 60 x 90; the mask is the truth shifted by 10 columns, so IoU = 300 / 500."""
    mask, true = np.zeros((60, 90), bool), np.zeros((60, 90), bool)
    true[10:20, 10:50] = True
    mask[10:20, 20:60] = True
    prompts = PointPrompts(
        np.array([[30, 15], [80, 50]], np.float32), np.array([1, 0]), np.array([20, 10, 60, 20], np.float32)
    )
    picture = np.full((60, 90, 3), 120, np.uint8)
    return Case(
        *key,
        "ours",
        {"iou": 0.6} if truth else {},
        0.7,
        picture,
        true,
        picture,
        mask,
        np.zeros((60, 90), bool),
        true if truth else None,
        prompts,
    )


def make_report(truth: bool = True, **changes: Any) -> Report:
    """A report with every part."""
    settings: dict[str, Any] = {
        "title": "Test",
        "rows": make_rows(truth),
        "ours": "ours",
        "start": "start",
        "methods": {name: {"title": name.title(), "description": "d", "source": "s"} for name in IOUS},
        "groups": (Group("Everything", ("one/a", "two/b")), Group("Only b", ("two/b",))) if truth else (),
        "cases": (make_case(truth=truth),),
        "config": {"search": {"calls": 24}},
        "cards": {"model": "card text"},
        "conventions": {"both_empty": "counts as 1"},
        "command": "gpoa benchmark",
        "environment": {"python": "3"},
        "notes": ("a note",),
    }
    return Report(**{**settings, **changes})


@dataclass
class Page(HTMLParser):
    """What a page holds.

    Args:
        source: HTML.
    """

    source: str
    ids: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    stack: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._caption = ""
        self._rows: list[list[str]] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self._caption, self._rows = "", []
        if tag == "tr":
            self._rows.append([])
        if tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes another element"
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        if "style" in self.stack or "script" in self.stack:
            return
        self.text += data
        if "caption" in self.stack:
            self._caption += data
        elif "th" in self.stack or "td" in self.stack:
            self._rows[-1][-1] += data
