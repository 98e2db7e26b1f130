"""Measures how often the presence check is wrong, at several levels: `--threshold.presence` of the command line.

Every training class gives one reference (the first image by name). Present: other images of the class. Absent: images of
classes of other sets. Prints the share of present targets called absent and of absent targets called so.

    python scripts/calibrate_presence.py --bench ../shared/bench
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from gpoa.datasets.folder import find_samples
from gpoa.datasets.image_io import load_image, load_mask
from gpoa.matching.presence import presence
from gpoa.pipeline import OneShotSegmenter

LEVELS = (0.60, 0.65, 0.70, 0.75, 0.80)
PRESENT, ABSENT = 5, 8


def main() -> int:
    """Measures and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder with split.json and the sets")
    parser.add_argument("--classes", default="train", help="a list of split.json")
    args = parser.parse_args()
    split = json.loads((args.bench / "split.json").read_text())
    classes = [name for name in split[args.classes] if name not in split["thin"]]
    images = {name: find_samples(args.bench / name / "images")[: PRESENT + 1] for name in classes}
    segmenter, rng = OneShotSegmenter(), np.random.default_rng(0)
    here, gone = [], []
    for name in classes:
        first = images[name][0].image_path
        mask = load_mask(args.bench / name / "masks" / f"{first.stem}.png")
        reference = segmenter.fit(load_image(first), mask).fitted.reference
        others = [other for other in classes if other.split("/")[0] != name.split("/")[0]]
        foreign = [images[other][1] for other in rng.choice(others, ABSENT, replace=False)]
        for samples, values in ((images[name][1:], here), (foreign, gone)):
            for sample in samples:
                features = segmenter.backbones.features(load_image(sample.image_path))
                values.append(presence(reference, features.tokens))
    print(f"{len(here)} present and {len(gone)} absent targets of {len(classes)} classes")
    print("| level | present called absent | absent called absent |\n|---|---|---|")
    for level in LEVELS:
        wrong, right = np.mean(np.array(here) < level), np.mean(np.array(gone) < level)
        print(f"| {level:.2f} | {100 * wrong:.1f} % | {100 * right:.1f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
