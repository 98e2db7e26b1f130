"""Choosing a folder from the page, never outside the folder in which `gpoa app` was started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpoa.app.project import project_images
from gpoa.datasets.folder import entries, is_image, meant_folder, natural_key
from gpoa.errors import DataError

COUNTED = 2000
"""Images of a folder are counted up to this many."""


def inside(root: Path, path: str) -> Path:
    """A folder that the page asked for.

    Args:
        root: nothing outside it is opened, whatever links say.
        path: below the root, with `/`; "" is the root itself.

    Raises:
        DataError: it lies outside, or is no folder.
    """
    refused = DataError(f"{path}: lies outside {root}; start `gpoa app` in the folder that you want to open")
    if "\0" in path or Path(path).is_absolute():
        raise refused
    found = (root / path).resolve()
    if not found.is_relative_to(root.resolve()):
        raise refused
    if not found.is_dir():
        raise DataError(f"{path or root}: no such folder; choose another one")
    return found


def list_folder(root: Path, path: str) -> dict[str, Any]:
    """What the page shows of a folder: its subfolders, and how many images it and each of them holds.

    Raises:
        DataError: see `inside`.
    """
    here = inside(root, path)
    below = [one for one in entries(here) if one.is_dir() and one.resolve().is_relative_to(root.resolve())]
    return {
        "root": str(root),
        "path": here.relative_to(root.resolve()).as_posix().removeprefix(".").removeprefix("/"),
        "images": count_images(here),
        "project": project_images(here) is not None,
        "folders": [
            {"name": one.name, "images": count_images(one), "project": project_images(one) is not None}
            for one in sorted(below, key=natural_key)
        ],
    }


def count_images(folder: Path) -> int:
    """How many images a folder (or the `images/` in it) holds, up to `COUNTED`; 0 where it cannot be read."""
    try:
        number = 0
        for path in entries(meant_folder(folder) or folder):
            number += is_image(path)
            if number == COUNTED:
                break
        return number
    except DataError:
        return 0


def project_of(root: Path, folder: Path, output: Path | None) -> tuple[Path, Path]:
    """(images, output folder) of what the page opens: a folder of images, or the output folder of a project.

    Args:
        root: see `inside`.
        folder: below it.
        output: what `--output` says; None: beside the images, with `-gpoa` after their folder's name.

    Raises:
        DataError: the project's images lie outside the root.
    """
    images = project_images(folder)
    if images is None:
        return folder, output or folder.parent / f"{folder.name}-gpoa"
    if not images.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{folder}: its images are in {images}, outside {root}; start `gpoa app` there")
    return images, folder
