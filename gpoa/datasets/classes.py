"""Classes of images with masks, from which an agent is trained: one folder a class, and a split into train and held
out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpoa.datasets.folder import LAYOUT_NAMES, pair_masks, spaced
from gpoa.errors import DataError
from gpoa.types import Sample

TARGET_MASKS = ("target_mask", "target_masks")
HELD_OUT_EVERY = 4


@dataclass(frozen=True)
class LabelledClass:
    """A class and its labelled images.

    Args:
        name: its folder, relative to the data folder.
        samples: at least two, each with a mask, by name.
    """

    name: str
    samples: tuple[Sample, ...]


def load_classes(data: Path, names: Sequence[str] | None = None, limit: int = 0) -> list[LabelledClass]:
    """Finds the classes below a folder.

    Args:
        data: holds `<class>/images` and `<class>/masks` at any depth, or projects with `reference_image`,
            `target_image` and `target_mask`.
        names: classes to use, relative to `data`; None is all.
        limit: images of a class, at most, evenly spaced by name; 0 is all.

    Returns:
        The classes by name.

    Raises:
        DataError: the folder, a named class, or every class is missing, or a class has fewer than two labelled images.
    """
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; give --data a folder with <class>/images and <class>/masks")
    found = list(names) if names is not None else sorted(_class_names(data))
    classes = [LabelledClass(name, tuple(_some_samples(data / name, limit))) for name in found]
    if not classes:
        raise DataError(f"{data}: no class found; every class needs a folder with images/ and masks/")
    return classes


def split_classes(
    classes: Sequence[LabelledClass], split: Path | None, train_list: str = "train"
) -> tuple[list[LabelledClass], list[LabelledClass]]:
    """Parts classes into training and held-out ones.

    Args:
        classes: all of them.
        train_list: the list of the split file to train on.
        split: a JSON file with that list and the list `held_out`; without one every fourth class is held out, or, of
            fewer than four classes, the last third of the images of each.

    Returns:
        (training classes, held-out classes).

    Raises:
        DataError: the file cannot be read, or lists no class that exists.
    """
    if split is not None:
        lists = read_split(split, train_list)
        train, held = ([one for one in classes if one.name in lists[key]] for key in ("train", "held_out"))
        if not train or not held:
            raise DataError(f"{split}: its lists train and held_out must both name classes of the data folder")
        return train, held
    if len(classes) >= HELD_OUT_EVERY:
        held = [one for place, one in enumerate(classes) if place % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
        return [one for one in classes if one not in held], held
    cuts = [max(2, len(one.samples) * 2 // 3) for one in classes]
    train = [LabelledClass(one.name, one.samples[:cut]) for one, cut in zip(classes, cuts, strict=True)]
    held = [
        LabelledClass(one.name, (one.samples[0], *one.samples[cut:])) for one, cut in zip(classes, cuts, strict=True)
    ]
    return train, [one for one in held if len(one.samples) > 1] or train


def load_many(
    folders: Sequence[Path], splits: Sequence[Path] = (), name: str = "train", limit: int = 0
) -> list[LabelledClass]:
    """Finds classes below several folders.

    Args:
        folders: each as in `load_classes`.
        splits: a split file for each folder, or none at all.
        name: which list of the split files.
        limit: images of a class, at most, evenly spaced by name; 0 is all.

    Returns:
        The classes of all folders; classes of one name in two folders get the folder's name before theirs.

    Raises:
        DataError: a folder, a class or a list is missing, or the numbers of folders and split files differ.
    """
    if splits and len(splits) != len(folders):
        raise DataError(f"{len(folders)} data folders but {len(splits)} split files; give one for each, or none")
    lists: list[list[str] | None] = [read_list(path, name) for path in splits] if splits else [None] * len(folders)
    parts = [load_classes(folder, names, limit) for folder, names in zip(folders, lists, strict=True)]
    known = Counter(one.name for part in parts for one in part)
    return [
        one if known[one.name] == 1 else replace(one, name=f"{folder.name}/{one.name}")
        for folder, part in zip(folders, parts, strict=True)
        for one in part
    ]


def read_split(path: Path, train_list: str = "train") -> dict[str, list[str]]:
    """The training list (as `train`) and the list `held_out` of a split file.

    Raises:
        DataError: the file is missing or lacks one of them.
    """
    return {"train": read_list(path, train_list), "held_out": read_list(path, "held_out")}


def read_list(path: Path, name: str) -> list[str]:
    """One list of class names of a split file.

    Raises:
        DataError: the file is missing or lacks it.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a split; it must be JSON with the list {name}") from error
    if not isinstance(names, list):
        raise DataError(f"{path}: {name} is no list of class names")
    return [str(one) for one in names]


def _class_names(data: Path) -> set[str]:
    """Folders that look like a class."""
    masks = {folder for pattern in ("masks", *TARGET_MASKS) for folder in data.rglob(pattern) if folder.is_dir()}
    return {folder.parent.relative_to(data).as_posix() for folder in masks}


def _samples(folder: Path) -> list[Sample]:
    """The labelled images of one class."""
    pairs = [("images", "masks")]
    pairs += [(name, mask) for name in LAYOUT_NAMES["reference_images"] for mask in LAYOUT_NAMES["reference_masks"]]
    pairs += [(name, mask) for name in LAYOUT_NAMES["target_images"] for mask in TARGET_MASKS]
    samples = []
    for images, masks in pairs:
        if (folder / images).is_dir() and (folder / masks).is_dir():
            samples += pair_masks(folder / images, folder / masks, allow_missing=True)
    if len(samples) < 2:
        raise DataError(
            f"{folder}: {len(samples)} labelled images found; a class needs at least 2 in images/ and masks/"
        )
    return sorted(samples, key=lambda sample: sample.image_path.name)


def _some_samples(folder: Path, limit: int) -> list[Sample]:
    """At most so many labelled images of one class, evenly spaced; 0 is all."""
    samples = _samples(folder)
    return [samples[place] for place in spaced(len(samples), limit or len(samples))]
