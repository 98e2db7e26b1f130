"""Choices by measurement: made once, kept, made again where the file is damaged or the machine another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpoa.runtime import machine


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GPOA_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "_ANSWERS", {})
    return tmp_path


def _ways(calls: list[str], **seconds: float) -> Callable[[], dict[str, Callable[[], None]]]:
    def way(name: str) -> Callable[[], None]:
        def call() -> None:
            calls.append(name)
            time.sleep(seconds[name])

        return call

    return lambda: {name: way(name) for name in seconds}


def test_the_fastest_is_measured_once_and_remembered(monkeypatch: pytest.MonkeyPatch, own_folder: Path) -> None:
    calls: list[str] = []
    ways = _ways(calls, plain=0.02, quick=0.001)
    assert machine.fastest_way("decoder", ways) == "quick"
    assert machine.fastest_way("decoder", ways) == "quick"
    assert sorted(calls) == ["plain"] * 4 + ["quick"] * 4
    monkeypatch.setattr(machine, "_ANSWERS", {})  # another process
    assert machine.fastest_way("decoder", ways) == "quick" and len(calls) == 8
    assert machine.fastest_way("encoder", _ways(calls, plain=0.001)) == "plain"
    assert sorted(json.loads((own_folder / "machine.json").read_text()).values()) == ["plain", "quick"]


@pytest.mark.parametrize(("plain", "quick", "want"), [(1.0, 0.9, "plain"), (1.0, 0.8, "quick"), (1.0, 2.0, "plain")])
def test_near_a_tie_the_default_stays(plain: float, quick: float, want: str) -> None:
    """Not 1.2 times as fast; 1.25 times; slower."""
    assert machine._winner({"plain": plain, "quick": quick}) == want


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"decoder": 3}'])
def test_a_damaged_file_is_written_anew(own_folder: Path, content: bytes) -> None:
    (own_folder / "machine.json").write_bytes(content)
    assert machine.fastest_way("decoder", _ways([], plain=0.0)) == "plain"
    assert list(json.loads((own_folder / "machine.json").read_text()).values()) == ["plain"]


def test_another_number_of_threads_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    calls: list[str] = []
    for threads in (1, 7, 1):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        machine.fastest_way("decoder", _ways(calls, plain=0.0))
    assert len(calls) == 8


def test_a_folder_that_cannot_be_written_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, own_folder: Path) -> None:
    (own_folder / "file").write_text("")
    monkeypatch.setenv("GPOA_CACHE", str(own_folder / "file"))
    assert machine.fastest_way("decoder", _ways([], plain=0.0)) == "plain"


def test_freed_memory_is_kept_where_glibc_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    told = []

    class Library:
        def mallopt(self, parameter: int, value: int) -> int:
            told.append((parameter, value))
            return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    monkeypatch.setattr(machine.sys, "platform", "linux")
    for name, want in (("glibc", [(-3, 1 << 25), (-1, 1 << 28)]), ("", [])):
        monkeypatch.setattr(machine.platform, "libc_ver", lambda name=name: (name, ""))
        told.clear()
        machine.keep_freed_memory.__wrapped__()
        assert told == want


def test_a_process_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """HOME unset, and a user whom the system does not know, as in many containers."""

    def nobody(path: str) -> str:
        return path  # what os.path.expanduser does then

    for name in ("HOME", "XDG_CACHE_HOME", "GPOA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = machine.default_cache_folder()
    assert folder.parent.parent.parent == tmp_path and folder.name == "embeddings"
