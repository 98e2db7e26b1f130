"""Measures how long all metrics of `gpoa evaluate` take on masks of 1024 x 1024, one process, one thread.

    python scripts/benchmark_metrics.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import ndimage

from gpoa.evaluation.metrics import score_all

KINDS = {"one object": (60.0, 1.2), "large areas": (25.0, 0.0), "many small": (6.0, 0.8), "grain": (0.5, 0.0)}
"""Name -> (smoothness of the field in pixels, the level above which it is foreground)."""


def mask_pair(kind: str, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A truth and a prediction like it, [size, size] bool."""
    smooth, level = KINDS[kind]
    true, other = (ndimage.gaussian_filter(rng.standard_normal((size, size)), smooth) for _ in range(2))
    true, other = true / true.std(), other / other.std()
    return true + 0.2 * other > level, true > level


def main() -> None:
    """Prints seconds for 100 images of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5, help="masks of each kind that are measured")
    parser.add_argument("--size", type=int, default=1024, help="side of a mask in pixels")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{'masks':14}{'s per 100':>10}{'iou':>8}{'hd95 px':>9}")
    for kind in (*KINDS, "unlike"):
        pairs = [mask_pair("large areas" if kind == "unlike" else kind, args.size, rng) for _ in range(args.images)]
        if kind == "unlike":
            pairs = [(prediction[::-1].copy(), truth) for prediction, truth in pairs]
        start = time.perf_counter()
        scores = [score_all(prediction, truth) for prediction, truth in pairs]
        seconds = (time.perf_counter() - start) / args.images * 100
        means = [np.mean([score[name] for score in scores]) for name in ("iou", "hd95")]
        print(f"{kind:14}{seconds:10.1f}{means[0]:8.3f}{means[1]:9.2f}")


if __name__ == "__main__":
    main()
