"""Whole files or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpoa.errors import DataError
from gpoa.runtime.atomic import write_atomic


def test_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The folder is made, an older file is replaced."""
    for data in (b"old", b"new"):
        write_atomic(tmp_path / "a" / "b.txt", data)
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"new"
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that fails leaves the old content, no temporary file, and one line."""
    path = tmp_path / "a.txt"
    write_atomic(path, b"old")

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DataError, match=r"a\.txt: cannot be written \(No space left on device\); choose"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
