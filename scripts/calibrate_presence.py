"""Measures how well an absent object is noticed, at several levels: by the presence check (`--threshold.presence` of
the command line), and by the quality head's expected IoU of the mask (the level that is saved in a policy's card).

Every training class gives one reference (the first image by name). Present: other images of the class. Absent: images
of classes of other sets. Prints the share of present targets called absent and of absent targets called so.

    python scripts/calibrate_presence.py --bench ../shared/bench
    python scripts/calibrate_presence.py --bench ../shared/bench --policy gpoa/weights/graph-agent.pt --write

With `--write` the level at which 2 % of the present objects are doubted goes into the policy's file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gpoa.config import GpoaConfig, MatchingConfig
from gpoa.datasets.folder import find_samples
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.matching.presence import presence
from gpoa.pipeline.image import ImagePipeline
from gpoa.policies.graph_policy import GraphPolicy, PolicyCard, load_policy, save_policy
from gpoa.search.agent import run_agent
from gpoa.types import Sample

LEVELS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75)
SHARES = (0.01, 0.02, 0.05, 0.1)
"""Shares of the present objects that may be doubted, each with its level."""
KEPT_SHARE = 0.02
PRESENT, ABSENT, BUDGET = 5, 8, 2


def main() -> int:
    """Measures and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder with split.json and the sets")
    parser.add_argument("--classes", default="train", help="a list of split.json")
    parser.add_argument("--policy", type=Path, help="a policy whose quality head is measured, too")
    parser.add_argument("--write", action="store_true", help="save the level in the policy's file")
    args = parser.parse_args()
    split = json.loads((args.bench / "split.json").read_text())
    classes = [name for name in split[args.classes] if name not in split["thin"]]
    images = {name: find_samples(args.bench / name / "images")[: PRESENT + 1] for name in classes}
    default = GpoaConfig(matching=MatchingConfig(method="ridge"))
    config = replace(default, threshold=replace(default.threshold, presence=-1.0))
    segmenter, rng = ImagePipeline(config), np.random.default_rng(0)
    policy = load_policy(args.policy, config) if args.policy else None
    here, gone = [], []
    for name in classes:
        first = images[name][0].image_path
        segmenter.fit(load_image(first), load_mask(args.bench / name / "masks" / f"{first.stem}.png"))
        others = [other for other in classes if other.split("/")[0] != name.split("/")[0]]
        foreign = [images[other][1] for other in rng.choice(others, ABSENT, replace=False)]
        here += [measure(segmenter, policy, sample) for sample in images[name][1:]]
        gone += [measure(segmenter, policy, sample) for sample in foreign]
        print(f"{name} done", file=sys.stderr, flush=True)
    print(f"{len(here)} present and {len(gone)} absent targets of {len(classes)} classes\n")
    print_table("presence check", LEVELS, *(np.array([pair[0] for pair in side]) for side in (here, gone)))
    if policy is not None:
        confidence = [np.array([pair[1] for pair in side]) for side in (here, gone)]
        levels = [float(np.quantile(confidence[0], share)) for share in SHARES]
        print_table("expected IoU", levels, *confidence)
        if args.write:
            card = policy[1]
            card.calibration["absent"] = round(levels[SHARES.index(KEPT_SHARE)], 4)
            save_policy(args.policy, policy[0], config, card)
            print(f"{args.policy}: calibration {card.calibration}")
    return 0


def measure(
    segmenter: ImagePipeline, policy: tuple[GraphPolicy, PolicyCard] | None, sample: Sample
) -> tuple[float, float]:
    """(similarity of the presence check, expected IoU of the mask of two decoder calls) of one target."""
    image = load_image(sample.image_path)
    similarity = presence(segmenter.fitted.reference, segmenter.backbones.features(image).tokens)
    record = segmenter.initial_prompts(image, sample.stem)
    if policy is None or record.prompts.is_empty:
        return similarity, 0.0
    episode = segmenter.open_episode(image, record)
    return similarity, run_agent(policy[0], episode, BUDGET, "quality", policy[1].calibration["margin"]).chosen.iou


def print_table(name: str, levels: Sequence[float], here: np.ndarray, gone: np.ndarray) -> None:
    """Prints what each level gets wrong and right."""
    above = (here[:, None] > gone[None]).mean() + 0.5 * (here[:, None] == gone[None]).mean()
    print(f"**{name}**: a present target ranks above an absent one in {100 * above:.0f} % of the pairs\n")
    print("| level | present called absent | absent called absent |\n|---|---|---|")
    for level in levels:
        print(f"| {level:.2f} | {100 * np.mean(here < level):.1f} % | {100 * np.mean(gone < level):.1f} % |")
    print()


if __name__ == "__main__":
    sys.exit(main())
