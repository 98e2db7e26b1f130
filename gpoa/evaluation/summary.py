"""What a benchmark's rows say: means, intervals, and who wins against whom.

Means and intervals follow `gpoa.evaluation.protocol`; rows are its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpoa.evaluation.protocol import TIE, Row, bootstrap, by_class, class_means, differences, key_of, set_mean

COSTS = ("calls", "seconds", "encode_seconds", "decode_seconds")


@dataclass(frozen=True)
class Duel:
    """One method against another on the same images.

    Args:
        method, other: their names.
        difference: mean IoU of the first minus that of the second, over images, classes and sets in turn.
        low, high: 95 % interval of the difference (paired bootstrap over images within classes).
        wins, ties, losses: images where the first is better, equal or worse; a tie is within .02.
    """

    method: str
    other: str
    difference: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int

    @property
    def share_lost(self) -> float:
        """Share of the images on which the first is worse."""
        return self.losses / (self.wins + self.ties + self.losses)


@dataclass(frozen=True)
class MethodSummary:
    """One method over all images of a group of classes.

    Args:
        method: its name.
        means: metric or cost -> mean over images, classes and sets in turn (costs: over images).
        low, high: 95 % interval of the mean IoU.
        over_classes: mean IoU over the classes, whatever set they belong to.
        images: how many were measured; one under two references counts twice.
        failed: images on which the method broke (they count as 0).
    """

    method: str
    means: Mapping[str, float]
    low: float
    high: float
    over_classes: float
    images: int
    failed: int


def summarise(rows: Sequence[Row], method: str, metrics: Sequence[str]) -> MethodSummary:
    """Summary of one method.

    Args:
        rows: of the classes that are meant; those of other methods are passed over.
        method: which one; it has one row or more.
        metrics: columns of the rows.
    """
    own = [row for row in rows if row["method"] == method]
    values = by_class(own, method)
    means = {metric: set_mean(class_means(own, method, metric)) for metric in metrics}
    costs = {cost: float(np.mean([float(row[cost]) for row in own])) for cost in COSTS}
    low, high = bootstrap(values)
    return MethodSummary(
        method=method,
        means={**means, **costs},
        low=low,
        high=high,
        over_classes=float(np.mean([one.mean() for one in values.values()])),
        images=sum(len(one) for one in values.values()),
        failed=sum(row["status"] == "failed" for row in own),
    )


def duel(rows: Sequence[Row], method: str, other: str) -> Duel:
    """Compares two methods on the same images.

    Raises:
        ValueError: they were measured on different images.
    """
    by_image = differences(rows, method, other)
    low, high = bootstrap(by_image)
    every = np.concatenate(list(by_image.values()))
    wins, losses = int((every > TIE).sum()), int((every < -TIE).sum())
    mean = set_mean({name: float(one.mean()) for name, one in by_image.items()})
    return Duel(method, other, mean, low, high, wins, len(every) - wins - losses, losses)


def complete_rows(rows: Sequence[Row], methods: Sequence[str]) -> list[Row]:
    """The rows of those images that every method has, so that all means are over the same images."""
    measured = [{key_of(row) for row in rows if row["method"] == method} for method in methods]
    shared = set.intersection(*measured) if measured else set()
    return [row for row in rows if row["method"] in methods and key_of(row) in shared]


def group_rows(rows: Sequence[Row], classes: Sequence[str]) -> list[Row]:
    """The rows of some classes."""
    wanted = set(classes)
    return [row for row in rows if row["class"] in wanted]


def best_other(rows: Sequence[Row], ours: str, methods: Sequence[str]) -> dict[str, tuple[str, float]]:
    """For each class the best of the other methods and its mean IoU minus ours.

    Args:
        rows: of all methods, on the same images.
        ours: a method's name.
        methods: the others.
    """
    own = class_means(rows, ours)
    others = {method: class_means(rows, method) for method in methods if method != ours}
    found = {}
    for name, value in own.items():
        winner = max(others, key=lambda method: others[method][name])
        found[name] = (winner, others[winner][name] - value)
    return found


def headline(rows: Sequence[Row], ours: str, methods: Sequence[str], titles: Mapping[str, str]) -> str:
    """The table of methods in Markdown, ours against each of them."""
    head = (
        "method",
        "IoU (95 %)",
        "Dice",
        "boundary IoU",
        "HD95 px",
        "ours - it (95 %)",
        "we win / tie / lose",
        "calls",
        "s",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for method in methods:
        one = summarise(rows, method, ("iou", "dice", "boundary_iou", "hd95"))
        gap = "" if method == ours else _against(duel(rows, ours, method))
        means = one.means
        cells = [
            titles.get(method, method),
            f"{means['iou']:.3f} ({one.low:.3f} to {one.high:.3f})",
            f"{means['dice']:.3f}",
            f"{means['boundary_iou']:.3f}",
            f"{means['hd95']:.0f}",
            gap or " | ",
            f"{means['calls']:.1f}",
            f"{means['seconds']:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def to_plain(item: Any) -> dict[str, Any]:
    """A summary or a duel as JSON can hold it."""
    from dataclasses import asdict

    return asdict(item)


def _against(one: Duel) -> str:
    """Two cells of the table."""
    gap = f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
    total = one.wins + one.ties + one.losses
    shares = " / ".join(f"{100 * part / total:.0f} %" for part in (one.wins, one.ties, one.losses))
    return f"{gap} | {shares}"
