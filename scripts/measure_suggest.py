"""Does the image that `gpoa suggest` names first make a better reference than any other?

For each class, a few images evenly spaced by name; each of them is the reference in turn, all others are targets (IoU
at the original size, one decoder call). The mean over all references is what a random choice gives; the suggested one
is compared with it, class by class. Intervals are bootstraps over classes.

    python scripts/measure_suggest.py --bench ../shared/bench --list held_out --classes 12 --images 6 \
        --output runs/suggest

Every (class, reference) is appended to rows.csv when it is done, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gpoa.config import GpoaConfig, OptimizeConfig
from gpoa.datasets.classes import LabelledClass, load_classes, read_list
from gpoa.datasets.folder import spaced
from gpoa.datasets.image_io import load_image
from gpoa.evaluation.metrics import iou, paired_bootstrap
from gpoa.evaluation.protocol import truth_of
from gpoa.features.cache import EmbeddingCache
from gpoa.matching.coverage import affinities, choose_covering, gist_of
from gpoa.pipeline.image import ImagePipeline

FIELDS = ("class", "reference", "rank", "iou")


def main(argv: list[str] | None = None) -> int:
    """Measures; prints the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder of classes with split.json")
    parser.add_argument("--list", default="held_out", help="list of split.json")
    parser.add_argument("--classes", type=int, default=12, help="classes, evenly spaced in the list")
    parser.add_argument("--images", type=int, default=6, help="images a class")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    names = read_list(args.bench / "split.json", args.list)
    chosen = [names[place] for place in spaced(len(names), args.classes)]
    table = args.output / f"rows_{args.list}_{args.classes}_{args.images}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["class"], row["reference"]) for row in _rows(table)}
    config = GpoaConfig(optimize=OptimizeConfig(strategy="none"))
    pipeline = ImagePipeline(config, EmbeddingCache(args.output / "cache"))
    for one in load_classes(args.bench, chosen):
        for row in measure_class(pipeline, one, args.images, done):
            _append(table, row)
            print(*row.values(), file=sys.stderr, flush=True)
    print_table(_rows(table))
    return 0


def measure_class(
    pipeline: ImagePipeline, one: LabelledClass, count: int, done: set[tuple[str, str]]
) -> Iterator[dict[str, object]]:
    """One row for each reference that is not done: its rank among the suggestions, and the mean IoU that it gives."""
    samples = [one.samples[place] for place in spaced(len(one.samples), count)]
    images = [load_image(sample.image_path) for sample in samples]
    truths = [truth_of(sample) for sample in samples]
    rng = np.random.default_rng(0)
    gists = [gist_of(pipeline.backbones.features(image).tokens, rng) for image in images]
    order = [found.place for found in choose_covering(affinities(gists), len(images))]
    ranks = {place: rank for rank, place in enumerate((p for p in order if truths[p].any()), start=1)}
    for place, rank in sorted(ranks.items()):
        if (one.name, samples[place].stem) in done or truths[place].all():
            continue
        pipeline.fit(images[place], truths[place])
        scores = [float(iou(pipeline.predict(image).mask, truth)) for number, (image, truth)
                  in enumerate(zip(images, truths, strict=True)) if number != place]  # fmt: skip
        yield {"class": one.name, "reference": samples[place].stem, "rank": rank, "iou": f"{np.mean(scores):.5f}"}


def print_table(rows: list[dict[str, str]]) -> None:
    """Means over classes, and the paired difference to a random reference."""
    classes: dict[str, dict[int, float]] = {}
    for row in rows:
        classes.setdefault(row["class"], {})[int(row["rank"])] = float(row["iou"])
    whole = {name: found for name, found in classes.items() if 1 in found and len(found) > 2}
    random = np.array([np.mean(list(found.values())) for found in whole.values()])
    first = np.array([found[1] for found in whole.values()])
    best = np.array([max(found.values()) for found in whole.values()])
    worst = np.array([min(found.values()) for found in whole.values()])
    print(f"| class ({len(whole)}) | random | suggested | best | worst |\n|---|---|---|---|---|")
    for name, *values in zip(whole, random, first, best, worst, strict=True):
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    print("| mean | " + " | ".join(f"{values.mean():.3f}" for values in (random, first, best, worst)) + " |")
    found = paired_bootstrap(first - random, seed=0, samples=10_000)
    print(f"suggested - random: {np.mean(first - random):+.3f} ({found.low:+.3f} to {found.high:+.3f}), "
          f"better on {(first > random).sum()} of {len(whole)} classes")  # fmt: skip


def _rows(table: Path) -> list[dict[str, str]]:
    """What was measured so far."""
    if not table.is_file():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def _append(table: Path, row: dict[str, object]) -> None:
    """Adds a row."""
    new = not table.is_file()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    sys.exit(main())
