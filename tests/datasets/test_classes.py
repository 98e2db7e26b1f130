"""Classes on disk and their split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.datasets.classes import load_classes, split_classes
from gpoa.errors import DataError

DATA = Path(__file__).resolve().parents[2] / "data"


def _make(folder: Path, count: int) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(np.zeros((2, 2), np.uint8)).save(folder / part / f"{index}.png")


def test_sample_data_are_two_classes():
    classes = load_classes(DATA)
    assert [(one.name, len(one.samples)) for one in classes] == [("bubbles", 9), ("coins", 8)]
    assert all(sample.mask_path.is_file() for one in classes for sample in one.samples)


def test_nested_names_and_limit(tmp_path: Path):
    _make(tmp_path / "set" / "a", 7)
    _make(tmp_path / "b", 2)
    classes = load_classes(tmp_path, limit=3)
    assert [one.name for one in classes] == ["b", "set/a"]
    assert [sample.stem for sample in classes[1].samples] == ["0", "3", "6"]


def test_every_fourth_class_is_held_out(tmp_path: Path):
    for name in "abcde":
        _make(tmp_path / name, 2)
    train, held = split_classes(load_classes(tmp_path), None)
    assert ([one.name for one in train], [one.name for one in held]) == (["a", "b", "c", "e"], ["d"])


def test_few_classes_hold_out_images(tmp_path: Path):
    _make(tmp_path / "a", 6)
    train, held = split_classes(load_classes(tmp_path), None)
    assert [sample.stem for sample in train[0].samples] == ["0", "1", "2", "3"]
    assert [sample.stem for sample in held[0].samples] == ["0", "4", "5"]  # the first stays the reference


def test_split_file(tmp_path: Path):
    for name in "ab":
        _make(tmp_path / name, 2)
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"mine": ["b"], "held_out": ["a"]}))
    train, held = split_classes(load_classes(tmp_path), split, "mine")
    assert ([one.name for one in train], [one.name for one in held]) == (["b"], ["a"])
    with pytest.raises(DataError, match="must be JSON with the list train"):
        split_classes(load_classes(tmp_path), split)
    split.write_text(json.dumps({"train": ["x"], "held_out": ["a"]}))
    with pytest.raises(DataError, match="must both name classes"):
        split_classes(load_classes(tmp_path), split)


@pytest.mark.parametrize(("count", "text"), [(1, "1 labelled images found"), (0, "no image")])
def test_a_class_needs_two_images(tmp_path: Path, count: int, text: str):
    _make(tmp_path / "a", count)
    with pytest.raises(DataError, match=text):
        load_classes(tmp_path)


def test_nothing_found(tmp_path: Path):
    with pytest.raises(DataError, match="no class found"):
        load_classes(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        load_classes(tmp_path / "none")
