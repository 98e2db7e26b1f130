"""Dice after each click on labelled classes: the oracle, agents, and controls, from the same first click.

    python3 scripts/benchmark_clicks.py --data bench --split bench/split.json --list quick --images 3 \\
        --agents runs/clicks/agent.pt

Of each class the first image is the prior's reference, the others (evenly spaced by name) are clicked on.
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
    parser.add_argument("--agents", nargs="*", default=[], help="files that `gpoa train clicks` wrote")
    parser.add_argument("--rows", type=Path, help="JSON lines, one an image and agent")
    args = parser.parse_args()
    pipeline = ImagePipeline(GpoaConfig(), EmbeddingCache(default_cache_folder()))
    classes = load_many([args.data], [args.split] if args.split else [], args.list, args.images)
    classes = [one for one in classes if not args.classes or one.name in args.classes]
    agents = {name: make_agent(name) for name in ("prior", "sam", "random")}
    agents["prior, no prior"] = make_agent("prior")
    for path in args.agents:
        agents |= {path: make_agent(path), f"{path}, no prior": make_agent(path)}
    began, rows = time.perf_counter(), []
    for row in click_curves(load_scenes(pipeline, classes), pipeline.backbones.segmenter, agents, args.clicks):
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
