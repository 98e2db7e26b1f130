"""Two classes of labelled images that need no file of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_squares(folder: Path, red: str, blue: str) -> Path:
    """Writes two classes of four images of 64 x 96, a coloured square somewhere on a grey ground; returns their
    folder."""
    rng = np.random.default_rng(0)
    for name, colour in ((red, (200, 30, 30)), (blue, (30, 30, 200))):
        for part in ("images", "masks"):
            (folder / name / part).mkdir(parents=True)
        for index in range(4):
            image = rng.integers(110, 140, (64, 96, 3), dtype=np.uint8)
            mask = np.zeros((64, 96), dtype=np.uint8)
            y, x = rng.integers(4, 30, 2)
            image[y : y + 28, x : x + 28], mask[y : y + 28, x : x + 28] = colour, 255
            Image.fromarray(image).save(folder / name / "images" / f"{index}.png")
            Image.fromarray(mask).save(folder / name / "masks" / f"{index}.png")
    return folder
