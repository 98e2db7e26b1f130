"""Batches that fit into a device's memory, on a CPU that plays a GPU."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpoa.errors import ModelError
from gpoa.runtime.memory import MOST, Batches, batch_size_for, upload

GIB = 1 << 30


def _free(monkeypatch: pytest.MonkeyPatch, free: int, reserved: int = 0, allocated: int = 0) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)


@pytest.mark.parametrize(
    ("free", "size"),
    [
        (10 * GIB, 7),  # seven tenths of what is free
        (1000 * GIB, MOST),
        (GIB // 2, 1),  # perhaps it fits all the same
        (0, 1),
    ],
)
def test_size_by_free_memory(monkeypatch: pytest.MonkeyPatch, free: int, size: int) -> None:
    _free(monkeypatch, free)
    assert batch_size_for("cuda", GIB) == batch_size_for("cuda:1", GIB) == size


def test_what_torch_holds_unused_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    _free(monkeypatch, 2 * GIB, reserved=9 * GIB, allocated=1 * GIB)
    assert batch_size_for("cuda", GIB) == 7


def test_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", None)  # not asked
    assert [batch_size_for("cpu", GIB), batch_size_for("mps", GIB), batch_size_for("cpu", GIB, 3)] == [1, 1, 3]


def test_upload() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert torch.equal(upload(array, "cpu"), torch.tensor([[0.0, 1, 2], [3, 4, 5]]))


class _Memory:
    """Doubles numbers; more than `most` at once do not fit."""

    def __init__(self, most: int) -> None:
        self.most, self.sizes = most, []

    def __call__(self, items: list[int]) -> list[int]:
        self.sizes.append(len(items))
        if len(items) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB.")
        return [2 * item for item in items]


def test_halved_until_it_fits_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    batches, call = Batches("cpu", GIB, on_cpu=8), _Memory(2)
    with caplog.at_level(logging.WARNING):
        assert batches.run(range(9), call) == [0, 2, 4, 6, 8, 10, 12, 14, 16]
        assert call.sizes == [8, 4, 2, 2, 2, 2, 1]
        assert batches.run([1, 2, 3], call) == [2, 4, 6]
    assert call.sizes[7:] == [2, 1]  # what fitted is remembered
    said = [record.message for record in caplog.records]
    assert said == ["cpu: out of memory with 8 images a call; going on with fewer"]


def test_one_item_does_not_fit() -> None:
    with pytest.raises(ModelError, match="cpu: out of memory with one of the tiles alone; free the device") as raised:
        Batches("cpu", GIB, "tiles", on_cpu=2).run([1, 2], _Memory(0))
    assert "\n" not in str(raised.value)


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        Batches("cpu", GIB).run([1], lambda items: [1 // 0])


def test_several_items_a_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    _free(monkeypatch, 10 * GIB)
    assert Batches("cuda", GIB).of_several(4).size == 1
    assert Batches("cuda", GIB // 4).of_several(4).size == 7
    assert Batches("cpu", GIB).of_several(4).size == 1


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
def test_every_item_is_answered_in_order(count: int, size: int, most: int) -> None:
    call = _Memory(most)
    assert Batches("cpu", GIB, on_cpu=size).run(range(count), call) == [2 * i for i in range(count)]
    assert max(call.sizes, default=0) <= size
