"""Reading ahead: order, bounds, errors in their own turn, an early end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa.runtime.prefetch import Plan, ReadAhead, plan_for
from gpoa.types import Sample


def _samples(count: int) -> list[Sample]:
    return [Sample(str(number), Path(f"{number}.png")) for number in range(count)]


def _until(condition, seconds: float = 5.0) -> bool:
    """Waits for another thread."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


@given(st.integers(0, 12), st.integers(0, 3), st.integers(1, 5), st.sets(st.integers(0, 11)))
@settings(max_examples=60, deadline=None)
def test_same_as_opening_in_turn(count: int, groups: int, together: int, bad: set[int]):
    """Whatever the plan: every sample once, in order, and what fails fails in its own turn."""

    def open_one(sample: Sample) -> int:
        if int(sample.stem) in bad:
            raise ValueError(f"bad {sample.stem}")
        return int(sample.stem) * 10

    seen, encoded = [], []
    with ReadAhead(_samples(count), open_one, Plan(groups, together), encoded.extend) as ahead:
        for _ in ahead:
            try:
                seen.append(ahead.take())
            except ValueError as error:
                seen.append(str(error))
    assert seen == [f"bad {n}" if n in bad else n * 10 for n in range(count)]
    assert encoded == ([] if groups == 0 else [n * 10 for n in range(count) if n not in bad])


def test_reads_as_far_as_planned_and_no_further():
    opened = []
    with ReadAhead(_samples(20), lambda sample: opened.append(sample.stem), Plan(groups=2, together=3)) as ahead:
        turns = iter(ahead)
        assert next(turns).stem == "0"
        assert _until(lambda: len(opened) == 9)  # the group at hand and two more
        time.sleep(0.05)
        assert len(opened) == 9
        for _ in range(3):
            last = next(turns)
        assert last.stem == "3" and _until(lambda: len(opened) == 12)


def test_groups_are_encoded_in_the_second_thread():
    calls = []

    def encode(group: list[str]) -> None:
        calls.append((list(group), threading.current_thread() is threading.main_thread()))

    with ReadAhead(_samples(5), lambda sample: sample.stem, Plan(1, 2), encode) as ahead:
        assert [ahead.take() for _ in ahead] == ["0", "1", "2", "3", "4"]
    assert calls == [(["0", "1"], False), (["2", "3"], False), (["4"], False)]


def test_a_failing_encoder_leaves_it_to_each_turn():
    def encode(group: list[str]) -> None:
        raise RuntimeError("out of memory")

    with ReadAhead(_samples(3), lambda sample: sample.stem, Plan(1, 2), encode) as ahead:
        assert [ahead.take() for _ in ahead] == ["0", "1", "2"]


def test_an_early_end_stops_reading():
    opened, gate = [], threading.Event()

    def open_one(sample: Sample) -> None:
        opened.append(sample.stem)
        if sample.stem != "0":
            gate.wait(5)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), ReadAhead(_samples(9), open_one, Plan(groups=4)) as ahead:
        for _ in ahead:
            ahead.take()
            assert _until(lambda: opened == ["0", "1"])
            raise KeyboardInterrupt
    assert time.monotonic() - began < 2  # the picture that is being read is not waited for
    gate.set()
    time.sleep(0.05)
    assert opened == ["0", "1"]


def test_never_waits_for_the_next_sample_while_one_is_pending():
    """A source that gives one sample for each that was taken: looking ahead into it would wait forever."""
    given, taken = [], []

    def source():
        for sample in _samples(4):
            assert len(given) == len(taken), "asked for more before the last one was taken"
            given.append(sample)
            yield sample

    with ReadAhead(source(), lambda sample: sample.stem, Plan(2, 2), waiting=lambda: False) as ahead:
        for _ in ahead:
            taken.append(ahead.take())
    assert taken == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "device, together, plan",
    [
        ("cpu", 1, Plan(0, 1)),  # in turn
        ("cuda", 1, Plan(4, 1)),  # reading only
        ("cuda:1", 3, Plan(1, 3)),
        ("cuda", 16, Plan(1, 16)),
        ("mps", 1, Plan(4, 1)),
    ],
)
def test_plans(device: str, together: int, plan: Plan):
    assert plan_for(device, together) == plan
