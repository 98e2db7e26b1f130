"""Whole files or none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpoa.errors import DiskFullError
from gpoa.runtime.atomic import encode_json, write_atomic


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
    with pytest.raises(DiskFullError, match=r"a\.txt: cannot be written, the disk is full \(No space .*\); free some"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_ctrl_c_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a signal that is treated alike."""

    def interrupt(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.txt", b"new")
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_letters_and_names_that_are_not_utf_8() -> None:
    """The byte E9 of a Latin-1 name comes back as it was."""
    data = encode_json({"name": "気 caf\udce9"})
    assert data == '{"name": "気 caf\\udce9"}'.encode()
    assert os.fsencode(json.loads(data)["name"])[-1] == 0xE9
