"""Measures prompts, matchers and strategies on held-out classes with the protocol of DESIGN section 7.

For each class: up to three references (first, middle, last by name), every other image is a target (20 at most). IoU at
the original size against unfiltered masks; an absent prediction counts as an empty mask. The mean is taken over the
images of a class, then over the classes of a set, then over the sets. Intervals are paired bootstraps over images
within classes.

    python scripts/benchmark_quick.py --bench ../shared/bench --output runs/benchmark_quick

Every (class, reference, method) is appended to rows.csv when it is done, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from gpoa.config import (
    CandidatesConfig,
    FeaturesConfig,
    GpoaConfig,
    MatchingConfig,
    OptimizeConfig,
    SegmentConfig,
    ThresholdConfig,
)
from gpoa.datasets.image_io import load_image
from gpoa.evaluation.metrics import iou
from gpoa.evaluation.protocol import class_episodes, class_means, interval, set_mean, share_worse, truth_of
from gpoa.pipeline.image import ImagePipeline
from gpoa.types import Sample

FIELDS = ("class", "reference", "method", "image", "iou", "confidence", "status", "calls", "seconds")
BASELINE, START = "original", "start"


def methods() -> dict[str, GpoaConfig]:
    """What is compared: the original prompts, the matchers with one decoder call, the untrained strategies on ours; the
    learned ones, which want a folder, are in `benchmark_agent.py`."""
    default = GpoaConfig(matching=MatchingConfig(method="ridge"))
    once = replace(default, optimize=OptimizeConfig(strategy="none"))
    last_layer = FeaturesConfig(layers=(12,))
    original = replace(
        once,
        features=last_layer,
        threshold=ThresholdConfig(method="otsu", presence=-1),  # it has no presence check
        matching=MatchingConfig(method="nearest", debias_components=0),
        candidates=CandidatesConfig(sampler="all", dense_prompt=False),
    )
    named = {
        BASELINE: original,
        "original + cycle check + pruning": replace(
            original,
            matching=MatchingConfig(method="nearest", cycle_check=True, debias_components=0),
            candidates=CandidatesConfig(sampler="all", dense_prompt=False, prune_distance=0.125),
        ),
        "original, random 5 to 20 a label": replace(original, optimize=OptimizeConfig(strategy="random", budget=2)),
    }
    named[START] = once
    for matcher in ("margin", "soft-knn"):
        named[f"start, {matcher}"] = replace(once, matching=replace(default.matching, method=matcher))
    prior = GpoaConfig()
    named["prior, start"] = replace(prior, optimize=OptimizeConfig(strategy="none"))
    named["prior, its own mask"] = replace(prior, optimize=OptimizeConfig(strategy="prior"))
    named["prior, chosen (gpoa run)"] = prior
    named["start, last layer only"] = replace(once, features=last_layer)
    named["start, Otsu"] = replace(once, threshold=ThresholdConfig(method="otsu"))
    named["start, points only"] = replace(once, candidates=replace(default.candidates, dense_prompt=False))
    named["start, a call a component"] = replace(once, segment=SegmentConfig(mode="components"))
    for strategy in ("random", "best-of-n", "greedy"):
        named[f"start + {strategy}"] = replace(default, optimize=replace(default.optimize, strategy=strategy))
    for judge in ("sam-iou", "stability", "agreement", "separability"):
        named[f"start + best-of-n by {judge}"] = replace(
            default, optimize=replace(default.optimize, strategy="best-of-n", judge=judge)
        )
    return named


def measure(name: str, folder: Path, config: GpoaConfig, episode: tuple[Sample, list[Sample]]) -> list[dict]:
    """Runs one method on one reference and its targets; returns a row for each target."""
    reference, targets = episode
    segmenter = ImagePipeline(config).fit(load_image(reference.image_path), truth_of(reference))
    rows = []
    for sample in targets:
        image, truth = load_image(sample.image_path), truth_of(sample)
        began = time.perf_counter()
        prediction = segmenter.predict(image)
        rows.append(
            {
                "class": str(folder),
                "reference": reference.stem,
                "method": name,
                "image": sample.stem,
                "iou": round(iou(prediction.mask, truth), 5),
                "confidence": round(prediction.confidence, 5),
                "status": prediction.optimized.status,
                "calls": len(prediction.search.trials) if prediction.search else 0,
                "seconds": round(time.perf_counter() - began, 4),
            }
        )
    return rows


def table(rows: list[dict], names: list[str]) -> str:
    """The results as a Markdown table."""
    head = (
        "method",
        "IoU, mean over sets",
        "over classes",
        "against original, 95 %",
        "worse than start by .02",
        "calls",
        "ms",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in names:
        own = [row for row in rows if row["method"] == name]
        if not own:
            continue
        means = class_means(rows, name)
        low, high = interval(rows, name, BASELINE)
        lost = share_worse(rows, name, START)
        calls, seconds = (np.mean([float(row[key]) for row in own]) for key in ("calls", "seconds"))
        lines.append(
            f"| {name} | {set_mean(means):.3f} | {np.mean(list(means.values())):.3f} | {low:+.3f} to {high:+.3f} | "
            f"{100 * lost:.0f} % | {calls:.1f} | {1000 * seconds:.0f} |"
        )
    return "\n".join(lines)


def class_table(rows: list[dict], names: list[str]) -> str:
    """Mean IoU of each class for some methods, as a Markdown table."""
    columns = {name: class_means(rows, name) for name in names}
    lines = ["| class | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key in sorted(next(iter(columns.values()))):
        lines.append(f"| {key} | " + " | ".join(f"{columns[name][key]:.3f}" for name in names) + " |")
    return "\n".join(lines)


def main() -> int:
    """Runs what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder with split.json and the sets")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark_quick"), help="folder for rows.csv")
    parser.add_argument("--classes", default="quick", help="a list of split.json, or class names joined by commas")
    parser.add_argument("--references", type=int, default=3, help="references a class, at most 3")
    parser.add_argument("--targets", type=int, default=20, help="targets a reference, at most")
    parser.add_argument("--methods", default="", help="names joined by semicolons; default: all")
    args = parser.parse_args()
    split = json.loads((args.bench / "split.json").read_text())
    classes = split.get(args.classes) or args.classes.split(",")
    known = methods()
    names = args.methods.split(";") if args.methods else list(known)
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "rows.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {(row["class"], row["reference"], row["method"]) for row in rows}
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not rows:
            writer.writeheader()
        for name in classes:
            for episode in class_episodes(args.bench / name, args.references, args.targets):
                for method in names:
                    if (name, episode[0].stem, method) in done:
                        continue
                    new = measure(method, Path(name), known[method], episode)
                    writer.writerows(new)
                    file.flush()
                    rows += new
            print(f"{name} done", file=sys.stderr, flush=True)
    print(table(rows, names) + "\n\n" + class_table(rows, names[:4]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
