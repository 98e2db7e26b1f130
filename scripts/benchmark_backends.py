"""Measures every segmenter x feature model that is installed here, and every faster way of running the default pair, on
the quick classes: one reference a class, the first mask alone (one decoder call).

    python scripts/benchmark_backends.py --bench ../shared/bench

The protocol is that of `benchmark_quick.py`: IoU at the original size, mean over images, classes, sets. The last
columns hold each row against the default pair in float32: difference with its paired 95 % bootstrap over images within
classes, and the largest change of one image's IoU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmark_quick import measure

from gpoa.config import GpoaConfig, MatchingConfig, OptimizeConfig
from gpoa.errors import ModelError
from gpoa.evaluation.protocol import class_episodes, class_means, differences, interval, set_mean
from gpoa.features.segmenter_tokens import NAME as SEGMENTER_TOKENS
from gpoa.models import store, zoo

DEFAULT = "mobile_sam x dinov2-small"


def installed(role: str) -> list[str]:
    """Names of the installed models of a role; nothing is fetched."""
    root, found = store.checkpoints_root(None), []
    for name, entry in zoo.ZOO.items():
        try:
            store.model_path(name, root)
        except ModelError:
            continue
        found += [name] if entry.role == role else []
    return found


def ways() -> dict[str, GpoaConfig]:
    """What is compared, the default pair first."""
    plain = GpoaConfig(matching=MatchingConfig(method="ridge"), optimize=OptimizeConfig(strategy="none"))

    def with_models(**changes: str) -> GpoaConfig:
        return replace(plain, models=replace(plain.models, **changes))

    named = {DEFAULT: plain}
    for segmenter in installed("segmenter"):
        for features in (*installed("features"), SEGMENTER_TOKENS):
            named[f"{segmenter} x {features}"] = with_models(segmenter=segmenter, features=features)
    pair = str(store.model_path("mobile_sam", store.checkpoints_root(None)))
    named["mobile_sam as any pair of ONNX files x dinov2-small"] = with_models(segmenter=pair)
    named["the default pair, decoder in bfloat16"] = with_models(precision="bfloat16")
    named["the default pair, encoders in bfloat16"] = with_models(encoder_precision="bfloat16")
    named["the default pair, all in bfloat16"] = with_models(precision="bfloat16", encoder_precision="bfloat16")
    tiles = replace(plain.features, tiles=2)
    named["the default pair, 2 x 2 tiles"] = replace(plain, features=tiles)
    return named


def line(rows: Sequence[dict], name: str) -> str:
    """One row of the table."""
    head = f"| {name} | {set_mean(class_means(rows, name)):.3f}"
    if name == DEFAULT:
        return f"{head} | | |"
    apart = differences(rows, name, DEFAULT)
    mean = set_mean({key: float(np.mean(values)) for key, values in apart.items()})
    low, high = interval(rows, name, DEFAULT)
    largest = max(float(np.abs(values).max()) for values in apart.values())
    return f"{head} | {mean:+.4f} ({low:+.4f} to {high:+.4f}) | {largest:.3f} |"


def main() -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder with split.json and the sets")
    parser.add_argument("--targets", type=int, default=8, help="images a class (default: 8)")
    parser.add_argument("--only", default="", help="only ways whose name holds this text, and the default")
    args = parser.parse_args()
    classes = json.loads((args.bench / "split.json").read_text(encoding="utf-8"))["quick"]
    chosen = {name: config for name, config in ways().items() if name == DEFAULT or args.only in name}
    rows = []
    for name, config in chosen.items():
        for folder in classes:
            for episode in class_episodes(args.bench / folder, 1, args.targets):
                rows += measure(name, folder, config, episode)
        if name == DEFAULT:
            print(f"{sum(row['method'] == name for row in rows)} images of {len(classes)} classes\n")
            print(
                "| segmenter x feature model | IoU | against the default (95 %) | largest change |\n|---|---|---|---|"
            )
        print(line(rows, name), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
