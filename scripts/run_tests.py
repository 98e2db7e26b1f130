"""Sets gpoa up and runs its tests: `python3 scripts/run_tests.py [pytest arguments]`."""

from __future__ import annotations

import sys

from environment import ensure_environment, run

if __name__ == "__main__":
    sys.exit(run([ensure_environment("test"), "-m", "pytest", *sys.argv[1:]]))
