"""What all exporters share: their options, what they report, and the loop over images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gpoa.datasets.exporters.collection import Collection, Entry, Objects
from gpoa.errors import DiskFullError, GpoaError


@dataclass(frozen=True)
class Options:
    """Choices of an export.

    Args:
        simplify: how far the border of a polygon may move, in pixels; 0 keeps it exactly.
        rle: COCO: run lengths instead of polygons.
        images: YOLO: link the images beside the labels, copy them, or neither.
        image_root: Label Studio: what comes before an image's name in its address.
    """

    simplify: float = 0.0
    rle: bool = False
    images: Literal["link", "copy", "none"] = "link"
    image_root: str = "/data/local-files/?d="


@dataclass
class Written:
    """What an export wrote.

    Args:
        files: what was written.
        images: how many images are in it.
        objects: how many objects.
        failed: a line for each image that could not be exported.
        notes: lines for people.
    """

    files: list[Path] = field(default_factory=list)
    images: int = 0
    objects: int = 0
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def each(self, collection: Collection) -> Iterator[tuple[Entry, Objects]]:
        """The images one after another; one whose file cannot be read is reported and passed over."""
        for entry in collection.entries:
            objects: Objects | None = None
            with self.attempt(entry):
                objects = collection.read(entry)
            if objects is not None:
                self.images += 1
                self.objects += len(objects.things)
                yield entry, objects

    @contextlib.contextmanager
    def attempt(self, entry: Entry) -> Iterator[None]:
        """Reports what goes wrong with one image; a full disk and a missing package concern all, and end the export."""
        try:
            yield
        except DiskFullError:
            raise
        except GpoaError as error:
            if isinstance(error.__cause__, ImportError):
                raise
            self.failed.append(f"{entry.stem}: {error}")
