"""What a report is made from, and the arithmetic that turns its rows into comparisons.

Scores of several seeds are averaged for each image first. Means are taken as `gpoa.evaluation.protocol` does: over the
images of a class, the classes of a set, the sets. A comparison of two methods uses the images that both have.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gpoa.evaluation import protocol
from gpoa.evaluation.protocol import Key, Row, key_of
from gpoa.evaluation.summary import COSTS, Duel, duel
from gpoa.types import PointPrompts

OVERLAP = ("iou", "dice", "boundary_iou", "precision", "recall", "specificity", "accuracy")
DISTANCES = ("hd95", "assd")
NUMBERS = (*OVERLAP, *DISTANCES, *COSTS, "confidence", "area")


@dataclass(frozen=True)
class Group:
    """Classes that share a headline table.

    Args:
        title: heading of the table.
        classes: names as in the rows.
    """

    title: str
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """One image of a gallery. All masks of the target are [H, W] bool at the image's own size.

    Args:
        class_name, reference_name, image_name, method: as in the rows.
        scores: metric -> value; empty without ground truth.
        confidence: the method's own, or None.
        reference_image: [h, w, 3] uint8 RGB, or None.
        reference_mask: [h, w] bool, or None.
        image: [H, W, 3] uint8 RGB.
        mask: the method's answer.
        start: the mask before the agent, or None.
        truth: the ground truth, or None.
        prompts: the prompts behind `mask`, or None.
        gallery: heading under which it is shown; empty lets its score decide.
    """

    class_name: str
    reference_name: str
    image_name: str
    method: str
    scores: Mapping[str, float]
    confidence: float | None
    reference_image: np.ndarray | None
    reference_mask: np.ndarray | None
    image: np.ndarray
    mask: np.ndarray
    start: np.ndarray | None = None
    truth: np.ndarray | None = None
    prompts: PointPrompts | None = None
    gallery: str = ""

    @property
    def key(self) -> Key:
        """The image that this is about."""
        return self.class_name, self.reference_name, self.image_name


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that `write_report` shows.

    Args:
        title: heading of the page.
        rows: one for each class, reference, image, method and seed, with keys `class`, `reference`, `image`, `method`,
            `seed`, `status` ("ok", "absent", "failed") and whichever are known of `NUMBERS`: the metrics (distances in
            pixels), `confidence`, `area` (share of the image), `calls` of the decoder, and seconds.
        ours: the method that the others are compared with.
        start: the method that is "before the agent", or None.
        methods: name -> {"title", "description", "source"}, each of which may be missing.
        groups: a headline table each; one with all classes where there is none.
        cases: pictures; `choose_cases` says of which images.
        config: nested settings of the run.
        cards: model name -> its card.
        conventions: name -> how a score is defined where its formula is not.
        command: what was typed.
        environment: name -> version or value.
        notes: further remarks, a paragraph each.
        remarks: what must be known before the numbers of a report of one method, a paragraph each.

    Raises:
        ValueError: there is no row, or `ours` or `start` has none.
    """

    title: str
    rows: Sequence[Row]
    ours: str
    start: str | None
    methods: Mapping[str, Mapping[str, str]]
    groups: Sequence[Group] = ()
    cases: Sequence[Case] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    cards: Mapping[str, str] = field(default_factory=dict)
    conventions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        present = {row["method"] for row in self.rows}
        wanted = {self.ours} if self.start is None else {self.ours, self.start}
        if wanted - present:
            raise ValueError(f"rows: no row of {sorted(wanted - present)}, only of {sorted(present)}; check the names")

    @property
    def is_plain(self) -> bool:
        """Whether it is about one folder of masks: nothing is compared, so words for comparisons would only confuse."""
        return not self.groups and len({(row["class"], row["method"]) for row in self.rows}) == 1

    def name(self, method: str) -> str:
        """A method's title."""
        return self.methods.get(method, {}).get("title") or method


class Standing(NamedTuple):
    """One line of a headline table.

    Args:
        method: its name.
        images: how many of its images were scored.
        failed, absent: how many of these had that status for any seed.
        means: metric -> mean over images, classes, sets; cost -> mean over images; None where it is never defined.
        duel: ours against this method on the images that both have; None for ours itself, and without such an image.
    """

    method: str
    images: int
    failed: int
    absent: int
    means: dict[str, float | None]
    duel: Duel | None


class ClassStanding(NamedTuple):
    """Mean IoU of every method on one class.

    Args:
        name: the class.
        images: images scored for any method.
        means: method -> mean IoU.
        winner: the best method; ours where it is as good as another.
        margin: how far the winner is above ours; where ours wins, how far ours is above the next.
    """

    name: str
    images: int
    means: dict[str, float]
    winner: str
    margin: float


def number(row: Row, name: str) -> float | None:
    """A row's value as a finite float, or None where it is missing, empty, undefined or infinite."""
    value = row.get(name)
    if value is None or value == "":
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def merge_seeds(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for each image and method, its numbers averaged over the seeds.

    A failed row without scores counts as 0 where its class or its image has ground truth.

    Args:
        rows: see `Report`.

    Returns:
        Rows with all of `NUMBERS` (None where never defined) and `status` ("failed" or "absent" if any seed was).
    """
    scored_classes = {row["class"] for row in rows if number(row, "iou") is not None}
    scored_images = {key_of(row) for row in rows if number(row, "iou") is not None}
    grouped: dict[tuple, list[dict[str, float | None]]] = defaultdict(list)
    statuses: dict[tuple, set[str]] = defaultdict(set)
    for row in rows:
        values = {name: number(row, name) for name in NUMBERS}
        lost = key_of(row) in scored_images or (row.get("status") == "failed" and row["class"] in scored_classes)
        if lost and values["iou"] is None:
            values.update(dict.fromkeys(OVERLAP, 0.0))
        key = (*key_of(row), row["method"])
        grouped[key].append(values)
        statuses[key].add(row.get("status", "ok"))
    merged = []
    for place, several in grouped.items():
        known = {name: [value for v in several if (value := v[name]) is not None] for name in NUMBERS}
        means = {name: float(np.mean(values)) if values else None for name, values in known.items()}
        status = next((s for s in ("failed", "absent") if s in statuses[place]), "ok")
        names = dict(zip(("class", "reference", "image", "method"), place, strict=True))
        merged.append({**names, "status": status, **means})
    return merged


def scored(merged: Sequence[Row], classes: Sequence[str] | None = None) -> list[Row]:
    """The merged rows that have an IoU, of some classes or of all."""
    return [row for row in merged if row["iou"] is not None and (classes is None or row["class"] in set(classes))]


def standings(merged: Sequence[Row], ours: str) -> list[Standing]:
    """Every method's means and its comparison with ours, best mean IoU first.

    Args:
        merged: scored rows of one group of classes.
        ours: the method that all are compared with.
    """
    found = []
    for method in ranked_methods(merged, ours):
        own = [row for row in merged if row["method"] == method]
        means = {name: (mean_over_images if name in COSTS else mean_over_sets)(own, name) for name in NUMBERS}
        failed, absent = (sum(row["status"] == status for row in own) for status in ("failed", "absent"))
        both = [] if method == ours else paired(merged, ours, method)
        found.append(Standing(method, len(own), failed, absent, means, duel(both, ours, method) if both else None))
    return found


def ranked_methods(merged: Sequence[Row], ours: str) -> list[str]:
    """The methods, best mean IoU first; ours before others as good."""
    methods = dict.fromkeys(row["method"] for row in merged)
    means = {method: mean_over_sets([row for row in merged if row["method"] == method], "iou") for method in methods}
    return sorted(methods, key=lambda method: (-(means[method] or 0.0), method != ours, method))


def mean_over_sets(own: Sequence[Row], name: str) -> float | None:
    """Mean of one of `NUMBERS` over images, classes, sets, for the rows of one method; None where never defined."""
    known = [row for row in own if row[name] is not None]
    return protocol.set_mean(protocol.class_means(known, known[0]["method"], name)) if known else None


def mean_over_images(own: Sequence[Row], name: str) -> float | None:
    """Mean of one of `NUMBERS` over images; None where never defined."""
    values = [row[name] for row in own if row[name] is not None]
    return float(np.mean(values)) if values else None


def paired(merged: Sequence[Row], one: str, other: str) -> list[Row]:
    """The rows of two methods on the images that both have."""
    keys = [{key_of(row) for row in merged if row["method"] == method} for method in (one, other)]
    common = keys[0] & keys[1]
    return [row for row in merged if row["method"] in (one, other) and key_of(row) in common]


def image_differences(merged: Sequence[Row], one: str, other: str) -> np.ndarray:
    """[N] IoU of one method minus the other's on the images that both have; classes by name."""
    found = protocol.differences(paired(merged, one, other), one, other)
    return np.concatenate([found[name] for name in sorted(found)] or [np.zeros(0)])


def class_standings(merged: Sequence[Row], ours: str) -> list[ClassStanding]:
    """Who wins on each class, and by how much; classes by name."""
    by_method = {m: protocol.class_means(merged, m) for m in dict.fromkeys(row["method"] for row in merged)}
    found = []
    for name in sorted({row["class"] for row in merged}):
        means = {method: values[name] for method, values in by_method.items() if name in values}
        winner = max(means, key=lambda method: (means[method], method == ours))
        rest = [value for method, value in means.items() if method != winner]
        second = means.get(ours, means[winner]) if winner != ours else max(rest, default=means[winner])
        images = len({key_of(row) for row in merged if row["class"] == name})
        found.append(ClassStanding(name, images, means, winner, means[winner] - second))
    return found
