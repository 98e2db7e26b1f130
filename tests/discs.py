"""Red discs on a green ground, many in an image, with a label each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def discs(seed: int, count: int = 9, size: tuple[int, int] = (120, 150), radius: int = 10):
    """(image [H, W, 3] uint8, labels [H, W] uint16): discs that do not touch, on a grid shaken by a seed."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3), dtype=np.uint8)
    image[..., 1] = 170
    image += rng.integers(0, 20, image.shape, dtype=np.uint8)
    labels = np.zeros(size, dtype=np.uint16)
    columns = int(np.ceil(np.sqrt(count)))
    y, x = np.mgrid[: size[0], : size[1]]
    for number in range(count):
        row, column = divmod(number, columns)
        centre = (np.array([row, column]) + 0.5) * np.array(size) / columns + rng.uniform(-3, 3, 2)
        inside = np.hypot(y - centre[0], x - centre[1]) < radius
        image[inside] = (215, 35, 30)
        labels[inside] = number + 1
    return image, labels


def save_discs(root: Path, targets: int = 2) -> list[str]:
    """ref.png, ref_labels.png and images/t0.png, ...; returns the flags of `gpoa run` for them."""
    (root / "images").mkdir(parents=True)
    image, labels = discs(0)
    Image.fromarray(image).save(root / "ref.png")
    Image.fromarray(labels).save(root / "ref_labels.png")
    for number in range(targets):
        Image.fromarray(discs(number + 1, 6 + number)[0]).save(root / "images" / f"t{number}.png")
    flags = ["--reference", str(root / "ref.png"), "--mask", str(root / "ref_labels.png")]
    return [*flags, "--targets", str(root / "images"), "--output", str(root / "out"), "--instances"]
