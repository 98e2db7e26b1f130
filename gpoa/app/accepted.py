"""Masks that a person accepted, as plain files below the output folder.

    accepted/<stem>.png     0/255 at the image's size
    accepted/<stem>.json    written last: this file says that the mask counts

Whatever is killed, a mask whose json file is there is whole. Deleting both files takes the mask back.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gpoa.datasets.mask_io import save_mask
from gpoa.errors import DataError
from gpoa.runtime.atomic import encode_json, write_atomic

logger = logging.getLogger(__name__)

FOLDER = "accepted"


@dataclass(frozen=True)
class Accepted:
    """What a person said of one image.

    Args:
        stem: the image's name in the output folder.
        order: 1 for the mask that was accepted first, and so on; references are taken in this order.
        absent: the object is not in the image; the mask is empty.
        clicks: how many clicks the mask took.
        strokes: how many strokes of brush and eraser.
    """

    stem: str
    order: int
    absent: bool = False
    clicks: int = 0
    strokes: int = 0


def accepted_path(output: Path, stem: str, suffix: str = ".png") -> Path:
    """Where an accepted mask (`.json`: what is said of it) is."""
    return output / FOLDER / f"{stem}{suffix}"


def write_accepted(output: Path, one: Accepted, mask: np.ndarray) -> None:
    """Writes a mask and what is said of it.

    Args:
        output: the project's output folder.
        one: whose `stem` names the files.
        mask: [H, W] bool at the image's size.

    Raises:
        DataError: the files cannot be written; an earlier mask of the image is then gone or as it was.
    """
    path = accepted_path(output, one.stem, ".json")
    if path.is_file():  # a new mask beside the old json file would be a mask that nobody accepted
        remove_accepted(output, one.stem)
    save_mask(accepted_path(output, one.stem), mask)
    write_atomic(path, encode_json(asdict(one), indent=1))


def remove_accepted(output: Path, stem: str) -> None:
    """Takes an accepted mask back.

    Raises:
        DataError: a file cannot be removed.
    """
    for suffix in (".json", ".png"):
        path = accepted_path(output, stem, suffix)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{path}: cannot be removed ({error.strerror}); check its permissions") from error


def read_accepted(output: Path) -> list[Accepted]:
    """All accepted masks in their order; what cannot be read is left out, and the log says so.

    Args:
        output: the project's output folder.
    """
    root, found = output / FOLDER, []
    for path in sorted(root.rglob("*.json")) if root.is_dir() else []:
        stem = path.relative_to(root).as_posix().removesuffix(".json")
        try:
            plain = json.loads(path.read_bytes())
            numbers = {name: int(plain.get(name, 0)) for name in ("clicks", "strokes")}
            one = Accepted(stem, int(plain["order"]), bool(plain.get("absent", False)), **numbers)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s: damaged (%s), so this mask does not count; accept it again", path, error)
            continue
        if accepted_path(output, stem).is_file():
            found.append(one)
        else:
            logger.warning("%s: the mask beside it is missing, so it does not count; accept it again", path)
    return sorted(found, key=lambda one: (one.order, one.stem))
