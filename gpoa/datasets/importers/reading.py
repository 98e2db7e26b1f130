"""Annotation files of any known kind: told apart, and read for one image or for all of them.

    .json   COCO (an object with `images`), or Label Studio (a list of tasks)
    .xml    CVAT for images 1.1
    .txt    YOLO segmentation, one image
    .zip    ImageJ ROIs, one image; .roi, one of them
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from gpoa.datasets.importers import coco, cvat, imagej, label_studio, yolo
from gpoa.datasets.importers.shapes import Shape
from gpoa.errors import GpoaError, MaskError, one_line
from gpoa.types import Size

MANY_IMAGES = (".json", ".xml")
ONE_IMAGE = (".txt", ".zip", ".roi")
DAMAGED = (LookupError, TypeError, ValueError, AttributeError, OSError, RecursionError, ElementTree.ParseError)
"""What parsers raise for a file that is damaged or of another kind."""


@dataclass(frozen=True)
class Annotated:
    """One image of an annotation file.

    Args:
        name: of the image file.
        size: (H, W) as the file states it; None where it does not.
        shapes: its objects, at the size that it is given.
    """

    name: str
    size: Size | None
    shapes: Callable[[Size], list[Shape]]


def is_annotation(path: Path) -> bool:
    """Whether a file's suffix is that of an annotation file."""
    return path.suffix.lower() in (*MANY_IMAGES, *ONE_IMAGE)


def read_annotations(path: Path) -> list[Annotated]:
    """The images of an annotation file.

    Raises:
        MaskError: it cannot be read, or is of no known kind.
    """
    try:
        return list(_images(path))
    except FileNotFoundError as error:
        raise MaskError(f"{path}: no such file; check the path") from error
    except DAMAGED as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else one_line(error)
        kinds = "COCO or Label Studio json, CVAT xml, YOLO txt, ImageJ zip"
        raise MaskError(f"{path}: no annotations of a known kind ({reason}); known are {kinds}") from error


def mask_of_annotations(path: Path, image_name: str, size: Size, label: str | None = None) -> np.ndarray:
    """The mask of one image: the union of its objects.

    Args:
        path: an annotation file.
        image_name: of the image file, for files that hold several images.
        size: (H, W) of the image.
        label: only objects of this class (its name, or YOLO's number); None takes all.

    Returns:
        [H, W] bool.

    Raises:
        MaskError: the file cannot be read, does not know the image, has it in another size, or has no such object.
    """
    one = _find(path, read_annotations(path), image_name)
    if one.size is not None and one.size != tuple(size):
        theirs, ours = f"{one.size[1]}x{one.size[0]}", f"{size[1]}x{size[0]}"
        raise MaskError(f"{path}: {image_name} is {theirs} there, but the image is {ours} (width x height)")
    shapes = read_shapes(path, one, size)
    labels = sorted({shape.label for shape in shapes})
    if label is not None:
        shapes = [shape for shape in shapes if shape.label == label]
    if not shapes:
        there = f"it has {', '.join(labels)}" if labels else "it has none"
        wanted = "no object" if label is None else f"no object of the class {label!r}"
        raise MaskError(f"{path}: {wanted} in {image_name}; {there}")
    return np.any(np.stack([shape.mask for shape in shapes]), axis=0)


def read_shapes(path: Path, one: Annotated, size: Size) -> list[Shape]:
    """The objects of one image of an annotation file.

    Raises:
        MaskError: they are damaged.
    """
    try:
        return one.shapes(size)
    except GpoaError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise MaskError(f"{path}: {one.name}: bad segmentation ({one_line(error)}); export it again") from error


def _images(path: Path) -> Iterator[Annotated]:
    """The images of a file of any kind; raises what its parser raises."""
    kind = path.suffix.lower()
    if kind == ".json":
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        yield from _of_json(content)
    elif kind == ".xml":
        for name, size, element in cvat.images_of(ElementTree.parse(path).getroot()):
            yield Annotated(name, size, lambda given, own=element: cvat.shapes_of(own, given))  # type: ignore[misc]
    elif kind == ".txt":
        text = path.read_text(encoding="utf-8-sig")
        yield Annotated(path.stem, None, lambda given: yolo.shapes_of(text, given))
    else:
        path.stat()  # raises where it is missing
        yield Annotated(path.stem, None, lambda given: imagej.shapes_of(path, given))


def _of_json(content: Any) -> Iterator[Annotated]:
    """The images of a COCO file or of Label Studio's tasks."""
    if isinstance(content, dict) and "images" in content:
        for name, size, own in coco.images_of(content):
            yield Annotated(name, size, lambda given, own=own: coco.shapes_of(own, given))  # type: ignore[misc]
        return
    tasks = content if isinstance(content, list) else [content]
    for name, found, regions in label_studio.images_of(tasks):
        yield Annotated(name, found, lambda given, own=regions: label_studio.shapes_of(own, given))  # type: ignore[misc]


def _find(path: Path, images: list[Annotated], name: str) -> Annotated:
    """The entry of an image: of the same name, else of the same stem (Label Studio puts a code before an upload's), or
    the only one of a file of one image."""
    if path.suffix.lower() in ONE_IMAGE:
        return images[0]
    wanted = PurePosixPath(name)
    names = [PurePosixPath(one.name) for one in images]
    for same in (
        lambda have: have.name == wanted.name,
        lambda have: have.name.endswith(f"-{wanted.name}"),
        lambda have: have.stem == wanted.stem,
    ):
        found = [one for one, have in zip(images, names, strict=True) if same(have)]
        if len(found) == 1:
            return found[0]
        if found:
            raise MaskError(f"{path}: {len(found)} images there are called {wanted.name}; give a file with one of them")
    known = ", ".join(str(have) for have in names[:5]) + (" ..." if len(names) > 5 else "")
    raise MaskError(f"{path}: no image called {wanted.name} there; it has {known or 'none'}")
