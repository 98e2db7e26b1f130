"""Fixtures for all tests: where the real weights are, and a loud word where they could not be had."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_WHY_NOT: dict[str, str] = {}
_LOUD = {"weights": "REAL WEIGHTS NOT TESTED", "browser": "PAGES NOT LOOKED AT IN A BROWSER"}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _make_torchvision_importable() -> None:
    """The library's own predictors, which ours are held against, import torchvision, and its wheel on PyPI is made for
    the CUDA build of torch: beside a CPU-only build it misses two operators. They are declared here; nobody calls them.
    gpoa itself does not import torchvision.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for loaded in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[loaded]
        arguments = "Tensor dets, Tensor scores, float iou_threshold"
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}({arguments}) -> Tensor")
        _KEPT.append(library)


_KEPT: list[object] = []  # a torch library lives as long as its object
_make_torchvision_importable()


@pytest.fixture(scope="session")
def weights_root() -> Path:
    """A checkpoints root in which both embedded models are installed; skips the test where they cannot be fetched.

    With GPOA_REQUIRE_WEIGHTS=1 the test fails instead.
    """
    from gpoa.errors import GpoaError
    from gpoa.models import store
    from gpoa.models.zoo import DEFAULTS

    root = store.checkpoints_root(None)
    try:
        for name in DEFAULTS:
            store.ensure(name, root, progress=False)
    except GpoaError as error:
        _WHY_NOT["weights"] = str(error)
        if os.environ.get("GPOA_REQUIRE_WEIGHTS") == "1":
            pytest.fail(f"GPOA_REQUIRE_WEIGHTS=1, but {error}", pytrace=False)
        pytest.skip(f"no real weights: {error}")
    return root


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; skips the test where there is none, or fails it with GPOA_REQUIRE_BROWSER=1."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        _WHY_NOT["browser"] = f"none of {', '.join(_BROWSERS)} is installed (Debian: apt-get install chromium)"
        if os.environ.get("GPOA_REQUIRE_BROWSER") == "1":
            pytest.fail(f"GPOA_REQUIRE_BROWSER=1, but {_WHY_NOT['browser']}", pytrace=False)
        pytest.skip(_WHY_NOT["browser"])
    return found


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Says in the last lines, after pytest's own summary, how many tests went without real weights or a browser."""
    yield
    for marker, headline in _LOUD.items():
        skipped = [report for report in terminalreporter.stats.get("skipped", []) if marker in report.keywords]
        if skipped:
            longrepr = skipped[0].longrepr
            reason = _WHY_NOT.get(marker) or (longrepr[2] if isinstance(longrepr, tuple) else str(longrepr))
            terminalreporter.write_sep("=", red=True, bold=True)
            terminalreporter.write_line(
                f"{headline}: {len(skipped)} tests skipped because {reason}", red=True, bold=True
            )
