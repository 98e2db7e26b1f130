"""The busy processes of the benchmark: they compute, and they end."""

from __future__ import annotations

import subprocess

from scripts import benchmark_busy


def test_busy_processes_end_with_the_block(monkeypatch):
    started, honest = [], subprocess.Popen

    def start(*arguments, **settings):
        started.append(honest(*arguments, **settings))
        return started[-1]

    monkeypatch.setattr(benchmark_busy.subprocess, "Popen", start)
    with benchmark_busy.busy_processes(2):
        assert [process.poll() for process in started] == [None, None]
    assert len(started) == 2 and all(process.poll() is not None for process in started)
