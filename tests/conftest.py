"""Fixtures for all tests: where the real weights are, and a loud word where they could not be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_WHY_NOT: list[str] = []


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
        _WHY_NOT.append(str(error))
        if os.environ.get("GPOA_REQUIRE_WEIGHTS") == "1":
            pytest.fail(f"GPOA_REQUIRE_WEIGHTS=1, but {error}", pytrace=False)
        pytest.skip(f"no real weights: {error}")
    return root


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Says in the last lines, after pytest's own summary, how many tests went without the real weights."""
    yield
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "weights" in report.keywords]
    if skipped:
        longrepr = skipped[0].longrepr
        reason = _WHY_NOT[0] if _WHY_NOT else longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        terminalreporter.write_sep("=", red=True, bold=True)
        terminalreporter.write_line(
            f"REAL WEIGHTS NOT TESTED: {len(skipped)} tests skipped because {reason}", red=True, bold=True
        )
