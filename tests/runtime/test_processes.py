"""The cores and what is inherited by worker processes."""

from __future__ import annotations

import os
import signal

import pytest

from gpoa.runtime.processes import inherited, threads_each


@pytest.mark.parametrize("said, workers, each", [("8", 2, 4), ("1", 2, 1), ("7", 3, 2)])
def test_workers_share_the_threads(said: str, workers: int, each: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_each(workers) == each
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads_each(10_000) == 1


def test_what_children_inherit_is_taken_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = signal.getsignal(signal.SIGINT)
    with inherited(3):
        assert os.environ["OMP_NUM_THREADS"] == "3" and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert "OMP_NUM_THREADS" not in os.environ and signal.getsignal(signal.SIGINT) is before
