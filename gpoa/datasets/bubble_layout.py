"""The layout of the bubble-segmentation project: `training/` and `testing/`, each with `prompts/`, `masks/`, `images/`.

`prompts/` holds, for each image, `<stem>_initial_indices_pos.pt` and `<stem>_initial_indices_neg.pt`: int64 patches of
14 pixels, row-major over an image of that project's square size (140 pixels; any size is read, from the image itself).
They become the initial points. `<stem>_features.pt` and `<stem>_bbox.json` are not needed: features are computed anew,
and the box there is the whole image.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gpoa.datasets.classes import LabelledClass, load_classes
from gpoa.errors import PromptError, one_line
from gpoa.types import Sample, Size

TRAINING, TESTING = "training", "testing"
PATCH = 14
SUFFIXES = ("_initial_indices_pos.pt", "_initial_indices_neg.pt")


class InitialPoints(NamedTuple):
    """Points of a prompts folder.

    Args:
        xy: [K, 2] float32 (x, y) in original pixels.
        labels: [K] int64, 1 foreground, 0 background.
    """

    xy: np.ndarray
    labels: np.ndarray


def is_bubble_layout(folder: Path) -> bool:
    """Whether a folder has `training/images`, `training/masks`, `testing/images` and `testing/masks`."""
    return all((folder / part / kind).is_dir() for part in (TRAINING, TESTING) for kind in ("images", "masks"))


def load_bubble_layout(folder: Path, limit: int = 0) -> tuple[list[LabelledClass], list[LabelledClass]]:
    """Training and validation classes of such a folder.

    Args:
        folder: see `is_bubble_layout`.
        limit: images of each part, at most, evenly spaced by name; 0 is all.

    Returns:
        (one class of `training/`, one class of `testing/`, whose first image, the reference, is one of training).

    Raises:
        DataError: a part has fewer than two labelled images.
    """
    train, test = load_classes(folder, [TRAINING, TESTING], limit)
    return [train], [replace(test, samples=(train.samples[0], *test.samples))]


def initial_points(sample: Sample, original_size: Size) -> InitialPoints | None:
    """The initial points that lie in `prompts/` beside the image's folder.

    Args:
        sample: the image.
        original_size: (H, W) of the image.

    Returns:
        The points, positives first; None where there are none, or no positive.

    Raises:
        PromptError: a file is damaged, or a patch lies outside of the image.
    """
    folder = sample.image_path.parent.parent / "prompts"
    paths = [folder / f"{sample.image_path.stem}{suffix}" for suffix in SUFFIXES]
    if not paths[0].is_file():
        return None
    patches = [_read(path) if path.is_file() else np.empty(0, dtype=np.int64) for path in paths]
    if not len(patches[0]):
        return None
    columns, rows = original_size[1] // PATCH, original_size[0] // PATCH
    index = np.concatenate(patches)
    if index.min() < 0 or index.max() >= columns * rows:
        raise PromptError(f"{paths[0]}: patch {int(index.max())} is not one of the image's {rows} x {columns} patches")
    xy = np.stack([index % columns, index // columns], axis=1) * PATCH + (PATCH - 1) / 2
    return InitialPoints(xy.astype(np.float32), np.repeat([1, 0], [len(part) for part in patches]).astype(np.int64))


def _read(path: Path) -> np.ndarray:
    """[K] int64 distinct patches of one file; code in it is never executed."""
    import torch

    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        return np.unique(np.asarray(values, dtype=np.int64).reshape(-1))
    except Exception as error:  # of a damaged pickle any kind may come
        raise PromptError(f"{path}: not a tensor of patch numbers ({one_line(error)[:80]})") from error
