"""What a run's output folder holds, as every exporter gets it: images, classes, and the objects of each image.

Three kinds of run, told apart by what lies in the folder:

    classes     `run.json` names classes: labels/<stem>.png holds their numbers, a class is one object of its image
    instances   labels/<stem>.png or .tif (16 or 32 bits) number the objects
    masks       masks/<stem>.png: one object an image, or one for each connected part
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from gpoa.datasets.folder import natural_key
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError, ImageError, MaskError, one_line
from gpoa.types import Size

Kind = Literal["classes", "instances", "masks"]
LABEL_SUFFIXES = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Thing:
    """One object of an image.

    Args:
        number: its number in the image's label image, from 1.
        class_id: of its class, from 1.
        confidence: expected quality in [0, 1], or None.
    """

    number: int
    class_id: int
    confidence: float | None


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image.

    Args:
        ids: [H, W] int32, 0 background.
        things: one for each number that occurs, in order.
    """

    ids: np.ndarray
    things: tuple[Thing, ...]

    @property
    def size(self) -> Size:
        """(H, W)."""
        return self.ids.shape[0], self.ids.shape[1]


@dataclass(frozen=True)
class Entry:
    """One image of a run.

    Args:
        stem: the name under which the run stores its files.
        name: of the image file, below the targets' folder, `/` between folders; a page of a stack has its own.
        labels_path: its mask or label image.
        image_path: the image file; None where it is not known or gone.
        page: which page of the file, from 0; None is the only one.
        confidence: of the whole mask, or class id -> its own.
    """

    stem: str
    name: str
    labels_path: Path
    image_path: Path | None = None
    page: int | None = None
    confidence: float | dict[int, float | None] | None = None

    def confidence_of(self, class_id: int) -> float | None:
        """Of an object of a class."""
        return self.confidence.get(class_id) if isinstance(self.confidence, dict) else self.confidence


@dataclass(frozen=True)
class Collection:
    """A run's output, ready to be exported.

    Args:
        entries: at least one.
        classes: id, from 1 -> name.
        kind: what the label images hold.
        components: each connected part of a mask or class is an object of its own.
        notes: lines on what is left out.
    """

    entries: tuple[Entry, ...]
    classes: dict[int, str]
    kind: Kind
    components: bool = False
    notes: list[str] = field(default_factory=list)

    def read(self, entry: Entry) -> Objects:
        """The objects of one image.

        Raises:
            MaskError: its file cannot be read.
        """
        if self.kind == "masks":
            values = load_mask(entry.labels_path, allow_empty=True).astype(np.int32)
        else:
            values = read_labels(entry.labels_path)
        if self.kind == "instances":
            ids, classes = values, dict.fromkeys(np.unique(values).tolist(), 1)
        elif self.components:
            ids, classes = _parts(values)
        else:
            ids, classes = values, {number: number for number in np.unique(values).tolist()}
        classes.pop(0, None)
        unknown = {class_id for class_id in classes.values() if class_id not in self.classes}
        if unknown:
            raise MaskError(f"{entry.labels_path}: holds the class {min(unknown)}, which run.json does not name")
        things = (Thing(number, class_id, entry.confidence_of(class_id)) for number, class_id in classes.items())
        return Objects(ids, tuple(things))


def open_run(folder: Path, class_name: str = "object", components: bool = False) -> Collection:
    """Finds what a run wrote.

    Args:
        folder: the output folder of `gpoa run`.
        class_name: of the only class, where the run names none.
        components: make each connected part of a mask or class an object of its own.

    Returns:
        The images in natural order.

    Raises:
        DataError: the folder does not exist, or holds no mask.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the output folder of `gpoa run`")
    plain = _run_file(folder / "run.json")
    classes = {int(number): str(name) for number, name in (plain.get("classes") or {}).items()}
    labels = _files(folder / "labels", LABEL_SUFFIXES)
    kind: Kind = "classes" if classes else "instances" if labels else "masks"
    files = labels if kind != "masks" else _files(folder / "masks", (".png",))
    if not files:
        raise DataError(f"{folder}: holds no masks/ and no labels/; give the output folder of `gpoa run`")
    known = {item["stem"]: item for item in plain.get("images", ()) if isinstance(item, dict) and "stem" in item}
    entries = [_entry(folder, stem, path, known.get(stem, {}), classes) for stem, path in files.items()]
    if len({entry.name for entry in entries}) < len(entries):  # of two folders with equal names; stems are unique
        entries = [replace(entry, name=f"{entry.stem}{PurePosixPath(entry.name).suffix}") for entry in entries]
    lost = sorted(stem for stem in known if stem not in files)
    notes = [f"{len(lost)} images of the run have no mask and are left out: {', '.join(lost[:5])}"] if lost else []
    return Collection(tuple(entries), classes or {1: class_name}, kind, components, notes)


def with_images(collection: Collection, folder: Path) -> Collection:
    """The collection with image files from a folder, where the run's own record of them is missing or out of date.

    Args:
        collection: any.
        folder: where files of the entries' names lie.
    """
    found = [replace(entry, image_path=folder / entry.name) for entry in collection.entries]
    entries = [new if new.image_path is not None and new.image_path.is_file() else old
               for new, old in zip(found, collection.entries, strict=True)]  # fmt: skip
    return replace(collection, entries=tuple(entries))


def read_labels(path: Path) -> np.ndarray:
    """The numbers of a label image, [H, W] int32.

    Raises:
        MaskError: it cannot be read, or is no picture of whole numbers from 0.
    """
    try:
        if path.suffix.lower() == ".png":
            from gpoa.datasets.image_io import open_picture

            values = np.asarray(open_picture(path, MaskError))
        else:
            from tifffile import imread

            values = np.asarray(imread(path, key=0))
    except (MaskError, ImageError):
        raise
    except Exception as error:  # its readers raise many kinds for damaged bytes
        raise MaskError(f"{path}: not a label image ({one_line(error)}); run again") from error
    if values.ndim != 2 or values.dtype.kind not in "iub" or values.min() < 0:
        raise MaskError(f"{path}: not a label image: {values.dtype} of shape {values.shape}; run again")
    return values.astype(np.int32)


def _parts(values: np.ndarray) -> tuple[np.ndarray, dict[int, int]]:
    """Connected parts of each number as objects: (ids, id -> number)."""
    from scipy import ndimage

    ids, classes = np.zeros(values.shape, dtype=np.int32), dict[int, int]()
    for number in np.unique(values[values > 0]).tolist():
        parts, count = ndimage.label(values == number, structure=np.ones((3, 3)))
        ids = np.where(parts > 0, parts + len(classes), ids)
        classes |= dict.fromkeys(range(len(classes) + 1, len(classes) + count + 1), number)
    return ids, classes


def _run_file(path: Path) -> dict[str, Any]:
    """What `run.json` says; nothing where it is missing or damaged."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Stem below a folder -> file, in natural order."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(found, key=natural_key)}


def _entry(folder: Path, stem: str, labels_path: Path, item: dict[str, Any], classes: dict[int, str]) -> Entry:
    """One image, with what `run.json` or its prompt file says of it."""
    image_path, page, confidence = item.get("path"), item.get("page"), item.get("confidence")
    name = Path(image_path).name if image_path else _named(folder, stem)
    if page is not None:
        name = PurePosixPath(stem).name + PurePosixPath(name).suffix
    if classes:
        files = {number: folder / "optimized_prompts" / f"class_{number}" / f"{stem}.json" for number in classes}
        confidence = {number: _run_file(path).get("confidence") for number, path in files.items()}
    known = Path(image_path) if image_path and Path(image_path).is_file() else None
    return Entry(stem, (PurePosixPath(stem).parent / name).as_posix(), labels_path, known, page, confidence)


def _named(folder: Path, stem: str) -> str:
    """The image's file name as its prompt file has it."""
    plain = _run_file(folder / "optimized_prompts" / f"{stem}.json")
    return str(plain.get("image") or f"{PurePosixPath(stem).name}.png")
