"""YOLO segmentation: a text file an image, a line an object, `dataset.yaml`.

A line is `class x0 y0 x1 y1 ...`, the class from 0 and coordinates as fractions of width and height. It knows neither
holes nor several parts, so these are joined by bridges of no width and stay one object
(`gpoa.datasets.outlines.one_path`). An image without an object has an empty file: a negative example. Format:
https://docs.ultralytics.com/datasets/segment/.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from gpoa.config import ReadingConfig
from gpoa.datasets.exporters.collection import Collection, Entry, Objects
from gpoa.datasets.exporters.writing import Options, Written
from gpoa.datasets.outlines import one_path, outlines
from gpoa.datasets.pages import load_sample
from gpoa.errors import DataError
from gpoa.runtime.atomic import write_atomic
from gpoa.types import Sample


def write(collection: Collection, folder: Path, options: Options) -> Written:
    """Writes labels/, images/ and dataset.yaml; see `gpoa.datasets.exporters.registry.export`."""
    written, places = Written(), {number: place for place, number in enumerate(collection.classes)}
    without = 0
    for entry, objects in written.each(collection):
        path = folder / "labels" / f"{entry.stem}.txt"  # stems are unique, also of a.png beside a.jpg
        write_atomic(path, _lines(objects, places, options.simplify).encode())
        written.files.append(path)
        with written.attempt(entry):
            if options.images != "none":
                without += not _place_image(entry, folder / "images", options.images)
    if without:
        written.notes.append(f"{without} images were not found; --images-from FOLDER says where they are")
    names = "".join(f"  {place}: {json.dumps(name, ensure_ascii=False)}\n" for place, name in
                    enumerate(collection.classes.values()))  # fmt: skip
    comment = "# All images are in train; split them before you train, and name the others under val.\n"
    text = f"{comment}path: {json.dumps(str(folder.resolve()))}\ntrain: images\nval: images\nnames:\n{names}"
    write_atomic(folder / "dataset.yaml", text.encode())
    written.files.append(folder / "dataset.yaml")
    return written


def _lines(objects: Objects, places: dict[int, int], simplify: float) -> str:
    """The text of one image."""
    height, width = objects.size
    found, lines = outlines(objects.ids, simplify), []
    for thing in objects.things:
        path = one_path(found[thing.number]) / (width, height)
        lines.append(" ".join([str(places[thing.class_id]), *(f"{value:.6g}" for value in path.reshape(-1))]) + "\n")
    return "".join(lines)


def _place_image(entry: Entry, folder: Path, how: str) -> bool:
    """Puts an image beside its labels; False where the image is not known."""
    if entry.image_path is None:
        return False
    path = folder / f"{entry.stem}{'.png' if entry.page is not None else entry.image_path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            path.unlink()
        if entry.page is not None:  # a page of a stack becomes a picture of its own
            pixels = load_sample(Sample(entry.stem, entry.image_path, None, entry.page), ReadingConfig())
            _save_picture(path, pixels)
        elif how == "link":
            _link(entry.image_path.resolve(), path)
        else:
            shutil.copyfile(entry.image_path, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    return True


def _link(image: Path, path: Path) -> None:
    """A symbolic link, or a copy where the system allows none."""
    try:
        os.symlink(image, path)
    except OSError:
        shutil.copyfile(image, path)


def _save_picture(path: Path, pixels: np.ndarray) -> None:
    """A PNG, written atomically."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    write_atomic(path, content.getvalue())
