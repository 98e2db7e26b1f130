"""Dice after each click on labelled classes: the oracle, agents, and controls, from the same first click.

    python3 scripts/benchmark_clicks.py --data bench --split bench/split.json --list quick --images 3 \\
        --agents prior sam random runs/clicks/agent.pt --rows rows.jsonl

Of each class the first image is the prior's reference, the others (evenly spaced by name) are clicked on. Each agent
takes part twice, with the prior and without. With --rows the table is made of all rows in that file, those of earlier
calls on the same images included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from gpoa.config import GpoaConfig
from gpoa.datasets.classes import load_many
from gpoa.evaluation.click_protocol import click_curves, summarize
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.click_run import make_agent
from gpoa.pipeline.image import ImagePipeline
from gpoa.rl.click_scenes import load_scenes
from gpoa.runtime.machine import default_cache_folder


def main() -> None:
    """Prints the table and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path)
    parser.add_argument("--list", default="held_out")
    parser.add_argument("--classes", nargs="*", default=[], help="only these of the list")
    parser.add_argument("--images", type=int, default=3, help="of a class, at most, the reference included")
    parser.add_argument("--clicks", type=int, default=5)
    parser.add_argument("--agents", nargs="*", default=["prior", "random"], help="as `gpoa click --agent` takes them")
    parser.add_argument("--rows", type=Path, help="JSON lines, one an image and agent; they are added to")
    args = parser.parse_args()
    pipeline = ImagePipeline(GpoaConfig(), EmbeddingCache(default_cache_folder()))
    classes = load_many([args.data], [args.split] if args.split else [], args.list, args.images)
    classes = [one for one in classes if not args.classes or one.name in args.classes]
    agents = {}
    for name in args.agents:
        agents |= {name: make_agent(name), f"{name}, no prior": make_agent(name)}
    began, rows = time.perf_counter(), []
    if args.rows is not None and args.rows.is_file():
        rows = [json.loads(line) for line in args.rows.read_text().splitlines()]
    known = {(row["class"], row["image"], row["method"]) for row in rows}
    for row in click_curves(load_scenes(pipeline, classes), pipeline.backbones.segmenter, agents, args.clicks):
        if (row["class"], row["image"], row["method"]) in known:
            continue
        rows.append(row)
        if args.rows is not None:
            with args.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    print_table(rows)
    print(f"{time.perf_counter() - began:.0f} s")


def print_table(rows: list[dict]) -> None:
    """The agents' means."""
    images, groups = {(row["class"], row["image"]) for row in rows}, {row["class"] for row in rows}
    print(f"{len(images)} images of {len(groups)} classes; mean over classes\n")
    print("| agent | Dice after click 1, 2, … | gain (95 %) | worse | NoC@85 | NoC@90 |")
    print("|---|---|---|---|---|---|")
    for one in summarize(rows):
        curve = " ".join(f"{value:.3f}" for value in one["dice"])
        gain = f"{one['gain']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"
        noc = " | ".join(f"{value:.2f}" for value in one["noc"])
        print(f"| {one['method']} | {curve} | {gain} | {100 * one['worse']:.0f} % | {noc} |")


if __name__ == "__main__":
    main()
