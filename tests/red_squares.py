"""A folder as users have it: a reference, its mask and three targets with a red square each; models are stand-ins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gpoa.cli.main import main

SIZE = (60, 90)


def square(x: int) -> tuple[np.ndarray, np.ndarray]:
    """A red square on a green ground, and its mask."""
    mask = np.zeros(SIZE, dtype=bool)
    mask[20:40, x : x + 30] = True
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    image[..., 1] = 180
    image[mask] = (220, 30, 30)
    return image, mask


def save_square(path: Path, x: int) -> Path:
    """Writes one as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(square(x)[0]).save(path)
    return path


def make_folder(root: Path) -> Path:
    """ref.png, mask.png and images/t0.png to t2.png."""
    save_square(root / "ref.png", 20)
    Image.fromarray(square(20)[1]).save(root / "mask.png")
    for number in range(3):
        save_square(root / "images" / f"t{number}.png", 5 + 20 * number)
    return root


def run(root: Path, *extra: str, targets: tuple[str, ...] = ("images",), out: str = "out") -> int:
    """`gpoa run` on the folder without optimisation; returns the exit status."""
    arguments = ["--reference", str(root / "ref.png"), "--mask", str(root / "mask.png"), "--strategy", "none"]
    arguments += ["--targets", *(str(root / name) for name in targets), "--output", str(root / out)]
    return main(["run", *arguments, *extra])


def files(folder: Path) -> list[str]:
    """Paths of all files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
