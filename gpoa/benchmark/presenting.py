"""From a benchmark's rows to its table, its summary and its report."""

from __future__ import annotations

import itertools
import json
import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gpoa import __version__
from gpoa.baselines.registry import BASELINES
from gpoa.benchmark.contenders import OURS, Contender, build_contender, title_of
from gpoa.benchmark.runner import Unit
from gpoa.config import GpoaConfig, to_dict
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError, GpoaError
from gpoa.evaluation.metrics import CONVENTIONS, METRICS, score_all
from gpoa.evaluation.protocol import TIE, Key, Row, class_means, key_of
from gpoa.evaluation.summary import best_other, complete_rows, duel, group_rows, headline, summarise, to_plain
from gpoa.features.cache import EmbeddingCache
from gpoa.models import store
from gpoa.models.zoo import hub_name
from gpoa.report.report import Case, Group, Report, choose_cases, write_report
from gpoa.runtime.atomic import write_atomic
from gpoa.types import Sample

logger = logging.getLogger(__name__)

LOST = "Where another method is better: ours, then its answer"

RULES = (
    "Means are taken over the images of a class, then over the classes of a set, then over the sets; intervals are "
    "paired bootstraps over images within classes (95 %).",
    f"A win is an IoU higher by more than {TIE}; in between is a tie.",
    "Masks are compared at the image's original size with unfiltered ground truth. An image on which a method broke "
    "scores what an empty mask scores.",
    "All methods use the same frozen models and the same cached embeddings; seconds include reading those, and the "
    "reference's share.",
)


@dataclass(frozen=True)
class Summary:
    """What a benchmark found.

    Args:
        plain: for JSON.
        text: tables in Markdown, and where the files are.
    """

    plain: dict[str, Any]
    text: str


def present(
    rows: Sequence[Row],
    units: Sequence[Unit],
    groups: Sequence[Group],
    output: Path,
    config: GpoaConfig,
    cache: EmbeddingCache | None,
    cases: int,
    command: str,
) -> Summary:
    """Writes `summary.json`, `table.md` and `report.html`.

    Args:
        rows: of the runner.
        units: what was run.
        groups: classes that get a table each.
        output: the benchmark's folder.
        config: the settings of our methods.
        cache: embedding cache.
        cases: pictures of the worst, the median and the best images each.
        command: prints it all again.

    Raises:
        DataError: no image was measured with every method.
    """
    methods = list(dict.fromkeys(unit.method for unit in units))
    rows = complete_rows(rows, methods)
    if not rows:
        raise DataError(
            f"{output}: no image was measured with every method; run `gpoa benchmark` without --report-only"
        )
    ours = next((name for name in OURS if name in methods), methods[0])
    plain = {group.title: _plain(group_rows(rows, group.classes), ours, methods) for group in groups}
    text = tables(rows, groups, ours, methods)
    write_atomic(output / "summary.json", (json.dumps(plain, indent=2) + "\n").encode("utf-8"))
    write_atomic(output / "table.md", (text + "\n").encode("utf-8"))
    report = Report(
        title="One labelled image, many masks: methods compared",
        rows=rows,
        ours=ours,
        start="gpoa-start" if "gpoa-start" in methods and ours != "gpoa-start" else None,
        methods={name: _about(name) for name in methods},
        groups=tuple(groups),
        cases=tuple(_cases(rows, units, ours, config, cache, cases)),
        config=to_dict(config),
        cards=_cards(config),
        conventions=CONVENTIONS,
        command=command,
        environment=_environment(),
        notes=RULES,
    )
    path = write_report(report, output / "report.html")
    places = f"rows    {output / 'rows.csv'}\nsummary {output / 'summary.json'}\nreport  {path}"
    return Summary(plain, f"{text}\n\n{places}")


def tables(rows: Sequence[Row], groups: Sequence[Group], ours: str, methods: Sequence[str]) -> str:
    """A table of methods for each group, and one of classes, in Markdown."""
    titles = {name: title_of(name) for name in methods}
    parts = []
    for group in groups:
        own = group_rows(rows, group.classes)
        images = len({key_of(row) for row in own})
        parts += [f"### {group.title}, {images} images", headline(own, ours, methods, titles)]
    if len(methods) > 1:
        parts += ["### Each class", class_table(rows, ours, methods, titles)]
    return "\n\n".join(parts)


def class_table(rows: Sequence[Row], ours: str, methods: Sequence[str], titles: dict[str, str]) -> str:
    """For each class our mean IoU and the best other method, in Markdown."""
    own = class_means(rows, ours)
    lines = [f"| class | {titles[ours]} | best other | it - we |", "|---|---|---|---|"]
    for name, (winner, gap) in sorted(best_other(rows, ours, methods).items()):
        lines.append(f"| {name} | {own[name]:.3f} | {titles[winner]} | {gap:+.3f} |")
    return "\n".join(lines)


def _plain(rows: Sequence[Row], ours: str, methods: Sequence[str]) -> dict[str, Any]:
    """The numbers of one group: every method, and every pair."""
    pairs = itertools.permutations(methods, 2)
    return {
        "methods": {name: to_plain(summarise(rows, name, METRICS)) for name in methods},
        "duels": [to_plain(duel(rows, one, other)) for one, other in pairs if ours in (one, other) or one < other],
        "best_other": {k: {"method": m, "gap": gap} for k, (m, gap) in best_other(rows, ours, methods).items()}
        if len(methods) > 1
        else {},
    }


def _about(name: str) -> dict[str, str]:
    """Title, description and source of a method."""
    if name in OURS:
        return {"title": title_of(name), "description": OURS[name].description, "source": "this repository"}
    entry = BASELINES[name]
    return {"title": entry.title, "description": entry.description, "source": entry.source}


def _cases(
    rows: Sequence[Row], units: Sequence[Unit], ours: str, config: GpoaConfig, cache: EmbeddingCache | None, count: int
) -> list[Case]:
    """The pictures of the report, predicted once more: our worst, median and best, then where another method beats
    us."""
    if count == 0:
        return []
    chosen = [(ours, key) for keys in choose_cases(rows, ours, count).values() for key in keys]
    lost = _lost(rows, ours, count)
    wanted = [*chosen, *lost]
    found: dict[tuple[str, Key], Case] = {}
    for method, name, reference in dict.fromkeys((method, *key[:2]) for method, key in wanted):
        unit = next(u for u in units if (u.method, u.class_name, u.reference.stem) == (method, name, reference))
        stems = {key[2] for other, key in wanted if (other, *key[:2]) == (method, name, reference)}
        contender = build_contender(method, config, cache, unit.seed)
        found.update(_pictures(unit, contender, stems))
    pictures = [found[one] for one in chosen if one in found]
    return pictures + [replace(found[one], gallery=LOST) for one in lost if one in found]


def _lost(rows: Sequence[Row], ours: str, count: int) -> list[tuple[str, Key]]:
    """For the classes that we lose most clearly, the image with the largest loss: ours, then the winner's answer to
    it."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    if len(methods) < 2:
        return []
    lost = [(gap, name, winner) for name, (winner, gap) in best_other(rows, ours, methods).items() if gap > TIE]
    wanted = []
    for _, name, winner in sorted(lost, reverse=True)[:count]:
        scores = {
            method: {key_of(row): float(row["iou"]) for row in rows if row["method"] == method}
            for method in (ours, winner)
        }
        inside = [key for key in scores[ours] if key[0] == name]
        worst = max(inside, key=lambda key: scores[winner][key] - scores[ours][key])
        wanted += [(ours, worst), (winner, worst)]
    return wanted


def _pictures(unit: Unit, contender: Contender, stems: set[str]) -> dict[tuple[str, Key], Case]:
    """The pictures of some targets of a unit; one that cannot be made is passed over with a word."""
    shot = load_image(unit.reference.image_path)
    mask = load_mask(unit.reference.known_mask, shot.shape[:2])
    contender.prepare(shot, mask, unit.folder)
    found = {}
    for sample in (one for one in unit.folder[: unit.targets] if one.stem in stems):
        try:
            key = (unit.class_name, unit.reference.stem, sample.stem)
            found[unit.method, key] = _case(unit, shot, mask, sample, contender)
        except (GpoaError, OSError) as error:
            logger.warning("no picture of %s: %s", sample.image_path, error)
    return found


def _case(unit: Unit, shot: np.ndarray, mask: np.ndarray, sample: Sample, contender: Contender) -> Case:
    """The pictures of one image."""
    image = load_image(sample.image_path)
    truth = load_mask(sample.known_mask, image.shape[:2], allow_empty=True)
    answer = contender.predict(image)
    return Case(
        class_name=unit.class_name,
        reference_name=unit.reference.stem,
        image_name=sample.stem,
        method=unit.method,
        scores=score_all(answer.mask, truth),
        confidence=answer.confidence,
        reference_image=shot,
        reference_mask=mask,
        image=image,
        mask=answer.mask,
        start=answer.start,
        truth=truth,
        prompts=answer.prompts,
    )


def _cards(config: GpoaConfig) -> dict[str, str]:
    """What is known about the models in use."""
    root = store.checkpoints_root(config.models.checkpoints)
    cards = {}
    for name in (config.models.features, config.models.segmenter):
        try:
            path = store.model_path(hub_name(name), root) / "card.json"
        except GpoaError:
            continue  # the segmenter's own features, or a folder of the user's
        cards[name] = path.read_text(encoding="utf-8") if path.is_file() else "no card"
    try:
        policy = store.find_policy(config.optimize.policy)
        card = policy.with_suffix(".md")
        cards[policy.name] = card.read_text(encoding="utf-8") if card.is_file() else str(policy)
    except GpoaError as error:
        cards["policy"] = str(error)
    return cards


def _environment() -> dict[str, str]:
    """The machine and the versions."""
    packages = ("torch", "torch-geometric", "transformers", "onnxruntime", "numpy", "scipy")
    machine = {"gpoa": __version__, "python": platform.python_version(), "system": platform.platform()}
    return {**machine, "cores": str(os.cpu_count()), **{name: version(name) for name in packages}}
