"""The measuring script: its controls act by their rules, and its interval is one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from benchmark_sb3 import FirstCandidates, RandomPolicy, best_of_n, interval, speed  # noqa: E402

from gpoa.rl.sb3_evaluate import BubbleScore  # noqa: E402
from tests.rl.toy_episodes import ToyEpisodes  # noqa: E402


def test_controls() -> None:
    legal = np.zeros(17, dtype=bool)
    legal[[0, 5, 16]] = True
    assert {RandomPolicy(seed).choose(np.zeros(72), legal) for seed in range(30)} == {0, 5, 16}
    first = FirstCandidates()
    assert [first.choose(np.zeros(72), legal) for _ in range(2)] == [0, 0]  # only one kind has its best candidate
    assert first.choose(np.zeros(72), np.arange(17) == 16) == 16


def test_best_of_n_counts_its_calls_and_keeps_the_start() -> None:
    episodes = ToyEpisodes(1, 3).by_class
    kept = best_of_n(episodes, 2, margin=1.0)
    assert [one.final for one in kept] == [one.start for one in kept]
    assert all(one.calls <= 2 for one in kept)


def test_interval() -> None:
    same = [BubbleScore("a", 0.2, 0.5, 0.5, 0.5, 2)] * 4
    assert interval(same) == pytest.approx((0.3, 0.3))
    mixed = [BubbleScore("a", 0.2, 0.2 + gain, 0, 0, 2) for gain in (0.0, 0.1, 0.2, 0.3)]
    low, high = interval(mixed)
    assert 0 < low < 0.15 < high < 0.3


def test_speed_prints_both_clocks(capsys: pytest.CaptureFixture[str]) -> None:
    speed(None, 10)
    text = capsys.readouterr().out
    assert text.startswith("toy: ") and "wall time" in text and "CPU time" in text
