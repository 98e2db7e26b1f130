"""Fits the weights by which instance mode judges outlines, on rendered training images.

    python scripts/fit_object_judge.py --materials 3

Renders a reference and a target of each material, lists every outline that each object of the target may have, and fits
`gpoa.instances.judging.ObjectWeights` by least squares to the largest IoU of each with a true object. Objects weigh the
same, whatever the number of their outlines. Prints the weights, and the panoptic quality with the ones in use, with the
fitted ones, with the watershed alone, and with the best outline by the ground truth as a bound.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import astuple, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gpoa.config import GpoaConfig, ObjectsConfig
from gpoa.evaluation.instances import score_instances
from gpoa.features.cache import EmbeddingCache
from gpoa.instances.decoding import Outline
from gpoa.instances.finding import LEAST_SCORE, View, all_outlines, to_found
from gpoa.instances.fusion import paint, suppress
from gpoa.instances.judging import WEIGHTS, ObjectWeights, evidence, scores
from gpoa.instances.seeds import Seeds, find_seeds
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.instances import InstanceSegmenter
from scripts.render_instances import KINDS, draw_look, render


class Case(NamedTuple):
    """All outlines of one target, what is known of them, and the truth."""

    seeds: Seeds
    outlines: list[Outline]
    table: np.ndarray
    best: np.ndarray
    labels: np.ndarray


def make_case(kind: str, seed: int, size: tuple[int, int], cache: EmbeddingCache, settings: ObjectsConfig) -> Case:
    """Renders a material, fits its reference and lists the outlines of its target, which is seen whole."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    look = draw_look(kind, rng)
    reference, target = (render(kind, look, size, rng) for _ in range(2))
    segmenter = InstanceSegmenter(ImagePipeline(GpoaConfig(objects=settings), cache))
    segmenter.fit(np.stack([reference.image] * 3, axis=-1), reference.labels)
    view: View = segmenter.look(np.stack([target.image] * 3, axis=-1))
    probability, sizes = view.probability(), segmenter.sizes
    seeds = find_seeds(probability, sizes.median)
    outlines, _ = all_outlines(view, seeds, segmenter.pipeline.backbones.segmenter, settings)
    table = evidence(outlines, seeds, probability, sizes)
    return Case(seeds, outlines, table, np.array([best_iou(one, target.labels) for one in outlines]), target.labels)


def best_iou(one: Outline, labels: np.ndarray) -> float:
    """The largest IoU of an outline with a true object."""
    shared = np.bincount(labels[one.window][one.mask], minlength=2)
    shared[0] = 0
    number = int(shared.argmax())
    union = one.mask.sum() + (labels == number).sum() - shared[number]
    return float(shared[number] / union) if shared[number] else 0.0


def fit(cases: list[Case], penalty: float = 1e-2) -> ObjectWeights:
    """Least squares with a small penalty, every seed weighing the same."""
    table = np.concatenate([case.table for case in cases])
    target = np.concatenate([case.best for case in cases])
    weight = np.concatenate([_per_seed(case) for case in cases])
    inputs = np.concatenate([np.ones((len(table), 1)), table], axis=1)
    gram = (inputs * weight[:, None]).T @ inputs + penalty * weight.sum() * np.diag([0, *[1] * table.shape[1]])
    return ObjectWeights(*np.linalg.solve(gram, (inputs * weight[:, None]).T @ target).round(3).tolist())


def _per_seed(case: Case) -> np.ndarray:
    numbers = np.array([one.seed for one in case.outlines])
    return 1 / np.bincount(numbers)[numbers]


def quality(case: Case, estimates: np.ndarray, least: float = LEAST_SCORE) -> float:
    """Panoptic quality where outlines have these scores."""
    found = suppress(to_found(case.outlines, estimates, case.seeds), least)
    return score_instances(paint(found, case.labels.shape).labels, case.labels).pq


def main() -> int:
    """Fits and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--materials", type=int, default=3, help="of each kind")
    parser.add_argument("--first", type=int, default=100, help="seed of the first material")
    parser.add_argument("--side", type=int, default=192, help="of the rendered images, in pixels")
    parser.add_argument("--no-box", action="store_true", help="points alone")
    parser.add_argument("--cache", type=Path, help="folder of the embedding cache; default: none")
    args = parser.parse_args()
    cache, settings = EmbeddingCache(args.cache), ObjectsConfig(tile=4096, box=not args.no_box)
    cases: list[Case] = []
    for seed in range(args.first, args.first + args.materials):
        for kind in KINDS:
            case = make_case(kind, seed, (args.side, args.side), cache, settings)
            cases.append(case)
            cells = np.where(case.table[:, 5] > 0, 0.9, 0.0)
            columns = [quality(case, one) for one in (cells, scores(case.table), case.best)]
            sam, cell = (case.best[case.table[:, 5] == kind_of].mean() for kind_of in (0, 1))
            print(f"{kind} {seed}: {case.labels.max()} objects, {len(case.seeds.xy)} seeds, "
                  f"PQ watershed {columns[0]:.3f}, in use {columns[1]:.3f}, bound {columns[2]:.3f}; "
                  f"mean IoU of SAM's outlines {sam:.3f}, of cells {cell:.3f}", flush=True)  # fmt: skip
            if len(cases) % 4 == 0:
                report(cases)
    return 0


def report(cases: list[Case]) -> None:
    """The weights from all cases so far, and the quality of each case with weights that did not see its kind."""
    fitted = fit(cases)
    kept_out = []
    for place, case in enumerate(cases):
        others = [one for number, one in enumerate(cases) if number % len(KINDS) != place % len(KINDS)]
        kept_out.append(quality(case, scores(case.table, fit(others))))
    cells = [quality(case, np.where(case.table[:, 5] > 0, 0.9, 0.0)) for case in cases]
    rows = {
        "watershed": cells,
        "in use": [quality(case, scores(case.table, WEIGHTS)) for case in cases],
        "fitted": [quality(case, scores(case.table, fitted)) for case in cases],
        "fitted on other kinds": kept_out,
        "bound": [quality(case, case.best) for case in cases],
    }
    print("fitted:", dict(zip(ObjectWeights.__dataclass_fields__, astuple(fitted), strict=True)))
    print("PQ:", ", ".join(f"{name} {np.mean(values):.3f}" for name, values in rows.items()), flush=True)
    for bonus in (0.0, 0.04, 0.08, 0.12):
        values = [quality(case, scores(case.table, replace(WEIGHTS, cell=bonus))) for case in cases]
        print(f"  in use but for cell = {bonus}: {np.mean(values):.3f}", flush=True)
    for least in (0.25, 0.35, 0.45, 0.55):
        values = [quality(case, scores(case.table, WEIGHTS), least) for case in cases]
        print(f"  in use, least score {least}: {np.mean(values):.3f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
