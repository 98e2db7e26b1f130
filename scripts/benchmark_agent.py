"""The proof: does the trained agent make masks better on classes that it never saw, at equal numbers of decoder calls?

Start, random subsets, untrained searches, the quality head with a fixed list, the agent, and two upper bounds that know
the ground truth, all on the same candidates of the same images with the protocol of DESIGN section 7.

    python scripts/benchmark_agent.py --bench ../shared/bench --classes quick --output runs/benchmark_agent

Rows are appended reference by reference, and a second run goes on from there. `--part 0/2` and `--part 1/2` share the
classes between two processes; `--table` only prints.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from gpoa.config import GpoaConfig, MatchingConfig
from gpoa.datasets.image_io import load_image
from gpoa.envs.episode import PromptEpisode
from gpoa.envs.rewards import make_compare
from gpoa.evaluation.metrics import iou
from gpoa.evaluation.protocol import by_class, class_episodes, class_means, interval, set_mean, share_worse, truth_of
from gpoa.graph.nodes import OUTPUTS, NodeKind
from gpoa.matching.relational_maps import SCALARS
from gpoa.models.store import find_policy
from gpoa.pipeline.folder_learning import learn_folder
from gpoa.pipeline.image import ImagePipeline
from gpoa.policies.graph_policy import GraphPolicy, PolicyCard, load_policy
from gpoa.search.agent import VISITORS, run_agent
from gpoa.search.strategies import RELEASE_CAP
from gpoa.segmenters.base import upscale_logits
from gpoa.types import Sample

FIELDS = ("class", "reference", "image", "method", "iou", "calls", "confidence")
LABEL_FREE = [SCALARS.index(name) for name in ("sam_iou", "agreement", "separability", "reverse")]
LEARNED_METHODS = {"quality": "best-of-N by quality head", "agent": "agent", "agent-search": "agent + best-of-K"}
START = "start"

Score = Callable[[np.ndarray], float]
"""Active set (with its output) -> what a search climbs."""


class Bench:
    """One image with everything that the methods ask of it.

    Args:
        episode: without ground truth.
        truth: [H, W] bool; only for scores and for the upper bounds.
    """

    def __init__(self, episode: PromptEpisode, truth: np.ndarray, input_size: tuple[int, int]) -> None:
        self.episode, self.truth, self.input_size = episode, truth, input_size
        self._compare = make_compare("iou", truth)
        self._known: dict[bytes, float] = {}

    def logits(self, active: np.ndarray) -> np.ndarray:
        """[256, 256] of a set's output."""
        return self.episode.feedback(active).logits[self.episode.nodes.output(active)]

    def truth_score(self, active: np.ndarray) -> float:
        """IoU at low resolution, for the bounds."""
        key = active.tobytes()
        if key not in self._known:
            self._known[key] = self._compare(self.logits(active))
        return self._known[key]

    def label_free(self, active: np.ndarray) -> float:
        """Mean of SAM's IoU, agreement, separability and reverse check."""
        reading = self.episode.feedback(active).readings[self.episode.nodes.output(active)]
        return float(reading.scalars[LABEL_FREE].mean())

    def sam_score(self, active: np.ndarray) -> float:
        """SAM's own estimate."""
        return float(self.episode.feedback(active).readings[self.episode.nodes.output(active)].scalars[0])

    def final_iou(self, active: np.ndarray) -> float:
        """IoU at the original size."""
        mask = upscale_logits(self.logits(active), self.input_size, self.truth.shape) > 0
        return iou(mask, self.truth)


def outputs_of(episode: PromptEpisode, sets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Every set with each of its four outputs, the first set's own output first."""
    return [sets[0], *(episode.nodes.with_output(active, k) for active in sets for k in range(OUTPUTS))]


def climb(bench: Bench, budget: int, score: Score, width: int) -> tuple[np.ndarray, int]:
    """Greedy search (width 1) or beam search over single toggles, all four outputs of each set; returns (best,
    calls)."""
    episode = bench.episode
    front = [episode.start()]
    seen = {episode.nodes.prompt_key(episode.nodes.start)}
    best = max(outputs_of(episode, [episode.nodes.start]), key=score)
    while front:
        grown = []
        for state in front:
            for action in np.flatnonzero(episode.legal(state)[:-1]):
                if episode.nodes.kind[action] == NodeKind.OUTPUT or episode.ended(state):
                    continue
                after = episode.step(state, int(action))
                key = episode.nodes.prompt_key(after.active)
                if key in seen:
                    continue
                if len(seen) >= budget:
                    return best, len(seen)
                seen.add(key)
                top = max(outputs_of(episode, [after.active]), key=score)
                grown.append((score(top), after))
                best = max(best, top, key=score)
        grown.sort(key=lambda pair: -pair[0])
        front = [state for _, state in grown[:width]]
    return best, len(seen)


def release_subset(episode: PromptEpisode, rng: np.random.Generator) -> np.ndarray:
    """GPOA's released optimiser: a random 5 to 20 points a label, no dense prompt."""
    nodes = episode.nodes
    active = nodes.with_output(np.zeros(len(nodes), dtype=bool), 0)
    for kind in (NodeKind.POS, NodeKind.NEG):
        own = np.flatnonzero((nodes.kind == kind) & ~nodes.from_folder)
        low, high = min(RELEASE_CAP[0], len(own)), min(RELEASE_CAP[1], len(own))
        active[rng.choice(own, int(rng.integers(low, high + 1)), replace=False)] = True
    return active


Policies = dict[str, tuple[GraphPolicy, PolicyCard]]
"""What is put behind a method's name -> a trained policy and its card."""


def measure(
    bench: Bench, policies: Policies, budgets: Sequence[int], seeds: int, learned: Sequence[str]
) -> list[tuple]:
    """(method, iou, calls, confidence) of every method on one image; without seeds, the learned ones and the greedy
    bound."""
    episode, any_policy = bench.episode, next(iter(policies.values()))[0]
    rows = [(START, bench.final_iou(episode.nodes.start), 1, "")]
    if seeds == 0:
        for budget in budgets:
            for suffix, (policy, card) in policies.items():
                rows += measure_policy(bench, policy, card, budget, suffix, learned)
            rows.append(greedy_bound(bench, budget))
        return rows
    for seed in range(seeds):
        chosen = release_subset(episode, np.random.default_rng(seed))
        rows.append((f"random 5-20 a label, seed {seed}", bench.final_iou(chosen), 1, ""))
    for node in np.flatnonzero(episode.nodes.kind == NodeKind.FOLDER):
        chosen = episode.nodes.toggle(episode.nodes.start, int(node))
        rows.append(("the folder's prompts, always", bench.final_iou(chosen), 1, ""))
    for budget in budgets:
        fixed = [visit.active for visit in VISITORS["quality"](any_policy, episode, budget)]
        best = max(outputs_of(episode, fixed), key=bench.sam_score)
        rows.append((f"best-of-N by SAM's IoU @{budget}", bench.final_iou(best), len(fixed), ""))
        for name, width in (("greedy", 1), ("beam 3", 3)):
            chosen, calls = climb(bench, budget, bench.label_free, width)
            rows.append((f"{name} by label-free score @{budget}", bench.final_iou(chosen), calls, ""))
        for suffix, (policy, card) in policies.items():
            rows += measure_policy(bench, policy, card, budget, suffix, learned)
        rows.append(greedy_bound(bench, budget))
    return rows


def greedy_bound(bench: Bench, budget: int) -> tuple:
    """What greedy search reaches that knows the ground truth."""
    chosen, calls = climb(bench, budget, bench.truth_score, 1)
    return f"bound: greedy by ground truth @{budget}", bench.final_iou(chosen), calls, ""


def measure_policy(
    bench: Bench, policy: GraphPolicy, card: PolicyCard, budget: int, suffix: str, learned: Sequence[str]
) -> list[tuple]:
    """The rows of one trained policy at one budget, used in these ways (keys of `LEARNED_METHODS`)."""
    episode, rows = bench.episode, []
    for visitor in learned:
        label = LEARNED_METHODS[visitor]
        result = run_agent(policy, episode, budget, visitor, card.calibration["margin"])
        calls = len({episode.nodes.prompt_key(visit.active) for visit in result.visits})
        value = bench.final_iou(result.chosen.active)
        rows.append((f"{label}{suffix} @{budget}", value, calls, round(result.chosen.iou, 4)))
        if visitor == "agent-search":
            top = max((one.active for one in result.judged), key=bench.truth_score)
            rows.append((f"bound: best visited by ground truth{suffix} @{budget}", bench.final_iou(top), calls, ""))
    return rows


def run_reference(
    segmenter: ImagePipeline,
    policies: Policies,
    episode: tuple[str, Sample, Sequence[Sample]],
    count: int,
    budgets: Sequence[int],
    seeds: int,
    learned: Sequence[str],
) -> list[dict]:
    """Rows of one reference; a target in which nothing is found is left out. The class's other images are the
    folder."""
    name, reference, others = episode
    segmenter.fit(load_image(reference.image_path), truth_of(reference))
    learn_folder(segmenter, others)
    rows = []
    for sample in others[:count]:
        image, truth = load_image(sample.image_path), truth_of(sample)
        record = segmenter.initial_prompts(image, sample.stem)
        if record.prompts.is_empty:
            print(f"{name}/{sample.stem}: nothing found, left out", file=sys.stderr)
            continue
        bench = Bench(segmenter.open_episode(image, record), truth, segmenter.backbones.embedding(image).input_size)
        for method, value, calls, confidence in measure(bench, policies, budgets, seeds, learned):
            values = (name, reference.stem, sample.stem, method, round(value, 5), calls, confidence)
            rows.append(dict(zip(FIELDS, values, strict=True)))
    return rows


def table(rows: list[dict], title: str) -> str:
    """One table: every method against the start."""
    head = (
        "method",
        "IoU, classes",
        "IoU, sets",
        "gain over start (classes)",
        "95 %",
        "gain (sets)",
        "95 %",
        "worse by .02",
        "calls",
    )
    lines = [
        f"**{title}**: {len(by_class(rows, START))} classes, {sum(map(len, by_class(rows, START).values()))} images",
        "",
    ]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    start, start_of_sets = np.mean(list(class_means(rows, START).values())), set_mean(class_means(rows, START))
    for method in dict.fromkeys(row["method"] for row in rows):
        means = class_means(rows, method)
        low, high = interval(rows, method, START, over_sets=False)
        mean, mean_of_sets = np.mean(list(means.values())), set_mean(means)
        low_of_sets, high_of_sets = interval(rows, method, START)
        calls = np.mean([float(row["calls"]) for row in rows if row["method"] == method])
        lines.append(
            f"| {method} | {mean:.3f} | {mean_of_sets:.3f} | {mean - start:+.3f} | {low:+.3f} to {high:+.3f} | "
            f"{mean_of_sets - start_of_sets:+.3f} | {low_of_sets:+.3f} to {high_of_sets:+.3f} | "
            f"{100 * share_worse(rows, method, START):.0f} % | {calls:.1f} |"
        )
    return "\n".join(lines)


def calibration(rows: list[dict], method: str) -> str:
    """How the confidence of a method relates to the true IoU."""
    pairs = np.array([(float(row["confidence"]), float(row["iou"])) for row in rows if row["method"] == method])
    bins = np.clip((pairs[:, 0] * 10).astype(int), 0, 9)
    gaps = [abs(pairs[bins == b].mean(axis=0) @ [1, -1]) * (bins == b).mean() for b in np.unique(bins)]
    rho = spearmanr(pairs[:, 0], pairs[:, 1])[0]
    return f"{method}: rank correlation of confidence and IoU {rho:.2f}, calibration error {sum(gaps):.3f}"


def report(rows: list[dict], thin: Sequence[str]) -> None:
    """Prints the tables: all classes, then without thin structures, then these."""
    thick = [row for row in rows if row["class"] not in thin]
    slim = [row for row in rows if row["class"] in thin]
    titles = (("all classes", rows), ("without thin structures", thick), ("thin structures", slim))
    for title, part in titles if slim and thick else titles[:1]:
        if part:
            print(table(part, title) + "\n")
            for method in dict.fromkeys(row["method"] for row in part if row["confidence"] != ""):
                print(calibration(part, method))
            print()


def main() -> int:
    """Measures what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder with split.json and the sets")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark_agent"), help="folder for the rows")
    parser.add_argument("--classes", default="quick", help="a list of split.json, or class names joined by commas")
    parser.add_argument("--policies", nargs="+", help="policy files; default: the one that comes with gpoa")
    parser.add_argument("--references", type=int, default=1, help="references a class, at most 3")
    parser.add_argument("--targets", type=int, default=8, help="targets a reference, at most")
    parser.add_argument("--budgets", type=int, nargs="+", default=[4, 8], help="decoder calls an image")
    parser.add_argument("--seeds", type=int, default=3, help="random subsets an image; 0: learned methods only")
    parser.add_argument("--learned", nargs="+", default=list(LEARNED_METHODS), choices=list(LEARNED_METHODS))
    parser.add_argument("--part", default="0/1", help="which share of the classes, for instance 0/2")
    parser.add_argument("--table", action="store_true", help="only print the tables of what was measured")
    args = parser.parse_args()
    split = json.loads((args.bench / "split.json").read_text())
    classes = split.get(args.classes) or args.classes.split(",")
    args.output.mkdir(parents=True, exist_ok=True)
    part, parts = (int(number) for number in args.part.split("/"))
    if not args.table:
        default = GpoaConfig(matching=MatchingConfig(method="ridge"))
        config = replace(default, threshold=replace(default.threshold, presence=-1.0))
        segmenter = ImagePipeline(config)
        paths = [find_policy(said) for said in args.policies or [None]]
        policies = {
            "" if place == 0 else f" [{path.stem}]": load_policy(path, config) for place, path in enumerate(paths)
        }
        path = args.output / f"rows-{part}.csv"
        done = {(row["class"], row["reference"]) for row in read_rows(args.output)}
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if path.stat().st_size == 0:
                writer.writeheader()
            for name in classes[part::parts]:
                for reference, others in class_episodes(args.bench / name, args.references, sys.maxsize):
                    if (name, reference.stem) not in done:
                        one = (name, reference, others)
                        how = (args.targets, args.budgets, args.seeds, args.learned)
                        writer.writerows(run_reference(segmenter, policies, one, *how))
                        file.flush()
                print(f"{name} done", file=sys.stderr, flush=True)
    rows = [row for row in read_rows(args.output) if row["class"] in classes]
    report(rows, split["thin"])
    return 0


def read_rows(folder: Path) -> list[dict]:
    """All rows that were measured."""
    return [row for path in sorted(folder.glob("rows-*.csv")) for row in csv.DictReader(path.open())]


if __name__ == "__main__":
    sys.exit(main())
