"""The folder of embeddings: hits, misses, damage, a folder that cannot be written, and its limit."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpoa.features.cache import Arrays, EmbeddingCache, image_digest
from gpoa.runtime.machine import default_cache_folder

KEY, MODEL = "ab" + "0" * 30, "tiny@56/12"
ARRAYS = {"tokens": np.array([[1.5, -2.0, 0.25]], np.float32), "size": np.array([30, 50])}


def _made() -> Arrays:
    return ARRAYS


def _never() -> Arrays:
    raise AssertionError("computed although it is stored")


def _same(found: Arrays) -> bool:
    return set(found) == set(ARRAYS) and all(
        found[name].dtype == ARRAYS[name].dtype and np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS
    )


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_miss_then_hit(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "new" / "folder")
    assert _same(cache.get_or_compute(KEY, MODEL, _made))
    assert _same(EmbeddingCache(tmp_path / "new" / "folder").get_or_compute(KEY, MODEL, _never))
    assert _same(cache.get_or_compute(KEY, MODEL, _never))
    assert (cache.hits, cache.misses) == (1, 1)
    assert len(_entries(tmp_path)) == 1  # no temporary file stays


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("ac" + KEY[2:], MODEL),  # another image
        (KEY, "tiny@112/12"),  # another setting of the model
    ],
)
def test_other_keys_are_other_entries(tmp_path: Path, key: str, model: str) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_or_compute(KEY, MODEL, _made)
    other = {"tokens": np.zeros(1, np.float32)}
    assert cache.get_or_compute(key, model, lambda: other)["tokens"].shape == (1,)
    assert _same(cache.get_or_compute(KEY, MODEL, _never))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",  # empty
        lambda content: content[: len(content) // 2],  # cut off
        lambda content: b"\xff" * len(content),  # another format
    ],
)
def test_damaged_entry_is_made_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_or_compute(KEY, MODEL, _made)
    (entry,) = _entries(tmp_path)
    entry.write_bytes(damage(entry.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert _same(cache.get_or_compute(KEY, MODEL, _made))
    assert "is damaged" in caplog.text
    assert _same(cache.get_or_compute(KEY, MODEL, _never))
    assert (cache.hits, cache.misses) == (1, 2)


def test_goes_on_without_a_folder_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        assert _same(cache.get_or_compute(KEY, MODEL, _made))
        assert _same(cache.get_or_compute(KEY, MODEL, _made))
    assert caplog.text.count("cannot be written") == 1  # said once
    assert (tmp_path / "file").read_text() == "in the way"
    assert cache.trim() == 0


def test_goes_on_where_the_file_cannot_be_written(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_or_compute(KEY, MODEL, _made)
    (entry,) = _entries(tmp_path)
    entry.unlink()
    entry.with_suffix(f".{os.getpid()}.tmp").mkdir()  # even root cannot write here
    assert _same(cache.get_or_compute(KEY, MODEL, _made))


def test_read_only_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_or_compute(KEY, MODEL, _made)

    def refuse(*args: object) -> None:
        raise PermissionError("not the owner")

    monkeypatch.setattr(os, "utime", refuse)
    assert _same(cache.get_or_compute(KEY, MODEL, _never))


def test_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = EmbeddingCache(None)
    assert _same(cache.get_or_compute(KEY, MODEL, _made))
    assert (cache.hits, cache.misses, cache.trim()) == (0, 1, 0)
    assert list(tmp_path.iterdir()) == []


def test_trim_removes_what_was_unused_longest(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    paths = {}
    for age, name in ((300, "aa"), (200, "bb"), (100, "cc")):
        before = set(_entries(tmp_path))
        cache.get_or_compute(name, MODEL, _made)
        (paths[name],) = set(_entries(tmp_path)) - before
        os.utime(paths[name], (1_000_000 - age, 1_000_000 - age))
    cache.get_or_compute("aa", MODEL, _never)  # a hit makes it the youngest
    size = paths["aa"].stat().st_size
    cache.limit_bytes = 2 * size
    assert cache.trim() == size
    assert sorted(_entries(tmp_path)) == [paths["aa"], paths["cc"]]
    assert cache.trim() == 0  # within its limit
    cache.limit_bytes = 2 * size - 1
    assert cache.trim() == size
    assert _entries(tmp_path) == [paths["aa"]]


def test_digest_names_shape_and_pixels() -> None:
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    changed = image.copy()
    changed[1, 2, 0] += 1
    digests = {image_digest(image), image_digest(image.reshape(3, 2, 3)), image_digest(changed)}
    assert len(digests) == 3
    assert all(len(digest) == 32 and set(digest) <= set("0123456789abcdef") for digest in digests)
    assert image_digest(image[:, ::-1]) == image_digest(image[:, ::-1].copy())  # memory layout does not matter
    assert image_digest(image[:, ::-1]) != image_digest(image)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"GPOA_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/gpoa/embeddings"),
        ({"HOME": "/c"}, "/c/.cache/gpoa/embeddings"),
    ],
)
def test_default_folder(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str) -> None:
    for name in ("GPOA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_cache_folder() == Path(folder)


def test_missing(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    assert cache.missing(KEY, MODEL)
    cache.get_or_compute(KEY, MODEL, _made)
    assert not cache.missing(KEY, MODEL)
    assert cache.missing(KEY, f"{MODEL}-bf16") and cache.missing("cd" + KEY[2:], MODEL)
    assert (cache.hits, cache.misses) == (0, 1)  # asking counts as neither
    assert EmbeddingCache(None).missing(KEY, MODEL)


def test_threads_that_write_one_entry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each has a temporary file of its own."""
    from concurrent.futures import ThreadPoolExecutor

    cache = EmbeddingCache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(10):
            model = f"{MODEL}{round_}"
            assert all(pool.map(lambda _, model=model: _same(cache.get_or_compute(KEY, model, _made)), range(8)))
    assert len(_entries(tmp_path)) == 10
    assert caplog.records == [] and cache.folder == tmp_path
