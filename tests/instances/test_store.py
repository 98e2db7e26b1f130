"""Windows of a large image on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpoa.instances.objects import Found
from gpoa.instances.store import WindowStore


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    store = WindowStore(tmp_path / "windows")
    assert store.read(1) is None
    mask = np.array([[1, 0, 1], [1, 1, 1]], dtype=bool)
    found = [Found((slice(5, 7), slice(70_000, 70_003)), mask, 0.5, (70_001.0, 5.5), "sam"),
             Found((slice(0, 1), slice(0, 1)), np.ones((1, 1), bool), 0.25, (0.0, 0.0), "cell")]  # fmt: skip
    store.write(1, found, 7)
    store.write(2, [], 0)
    read, calls = store.read(1)
    assert calls == 7 and len(read) == 2
    for one, other in zip(found, read, strict=True):
        assert (one.window, one.score, one.xy, one.source) == (other.window, other.score, other.xy, other.source)
        assert (one.mask == other.mask).all()
    assert store.read(2) == ([], 0)
    (tmp_path / "windows" / "00001.npz").write_bytes(b"half a file")
    assert store.read(1) is None
    store.remove()
    assert not (tmp_path / "windows").exists()


def test_nothing_is_kept_without_a_folder() -> None:
    store = WindowStore(None)
    store.write(1, [], 3)
    assert store.read(1) is None
    store.remove()
