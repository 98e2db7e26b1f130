"""Sets gpoa up and segments the shipped sample sets: `python3 scripts/quickstart.py`.

Installs into .venv, fetches the two default models on first use, segments the targets of data/bubbles and data/coins
with one reference image each, scores the masks, and says where the pictures are.
"""

from __future__ import annotations

import sys
import time

from environment import ROOT, ensure_environment, run

SETS = ("bubbles", "coins")


def main() -> int:
    """Runs the quick start; returns the exit status."""
    began = time.perf_counter()
    python = ensure_environment()
    gpoa = [python, "-m", "gpoa"]
    for name in SETS:
        data, output = ROOT / "data" / name, ROOT / "runs" / "quickstart" / name
        print(f"\n{name}: one reference image, {len(list((data / 'target_image').iterdir()))} targets", flush=True)
        inputs = ["--reference", next((data / "reference_image").iterdir())]
        inputs += ["--mask", next((data / "reference_mask").iterdir()), "--targets", data / "target_image"]
        status = run([*gpoa, "run", *inputs, "--output", output])
        known = ["--ground-truth", data / "target_mask", "--images", data / "target_image"]
        status = status or run([*gpoa, "evaluate", "--predictions", output / "masks", *known, "--output", output])
        if status:
            return status
    print(f"\ndone in {time.perf_counter() - began:.0f} s; the pictures, and a page on each set:")
    for name in SETS:
        for file in ("contact_sheet.jpg", "report.html"):
            print(f"  {ROOT / 'runs' / 'quickstart' / name / file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
