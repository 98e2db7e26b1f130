"""Tiny models with random weights in the official layouts, and the prompts and pictures that their tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.types import PointPrompts

SIZES = [(60, 100), (101, 67)]
"""(H, W): not square, either side longer, one with odd numbers."""


def picture(size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] uint8: smooth shapes and some noise."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    noise = np.random.default_rng(0).integers(0, 20, (*size, 3))
    colours = np.stack([rows * 2, columns * 2, (rows - 30) ** 2 + (columns - 40) ** 2 < 400], axis=-1) * [1, 1, 200]
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


def prompt_sets() -> list[PointPrompts]:
    """Every kind of prompt set: points, a box, both, with a mask, only a mask; some of one shape."""
    one = np.array([[40.0, 30.0]], np.float32)
    two = np.array([[40.0, 30.0], [10.5, 50.25]], np.float32)
    none = np.zeros((0, 2), np.float32)
    box = np.array([12.0, 8.0, 60.0, 44.0], np.float32)
    rows, columns = np.mgrid[0:256, 0:256]
    mask = (40.0 - np.hypot(rows - 60, columns - 70)).astype(np.float32) / 8
    return [
        PointPrompts(one, np.array([1])),
        PointPrompts(two, np.array([1, 0])),
        PointPrompts(none, np.zeros(0, np.int64), box=box),
        PointPrompts(two + 5, np.array([0, 1]), box=box),
        PointPrompts(one + 9, np.array([1]), mask_prompt=mask),
        PointPrompts(none, np.zeros(0, np.int64), mask_prompt=mask),
        PointPrompts(one + 3, np.array([1])),
    ]


def shake(model: torch.nn.Module, scale: float = 0.1) -> torch.nn.Module:
    """Fills every parameter and floating buffer with seeded noise, so that no weight is zero or like another."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator) * scale + (value == 1))
    return model.eval()


def asked_of(processor: Callable, image: np.ndarray, prompt: PointPrompts) -> dict[str, torch.Tensor]:
    """A picture and a prompt set, but for its mask, through the library's own processor."""
    asked = {}
    if len(prompt.point_labels):
        asked = {"input_points": [[prompt.point_coords.tolist()]], "input_labels": [[prompt.point_labels.tolist()]]}
    if prompt.box is not None:
        asked["input_boxes"] = [[prompt.box.tolist()]]
    inputs = processor(images=image, return_tensors="pt", **asked)
    names = ("pixel_values", "input_points", "input_labels", "input_boxes")
    return {n: inputs[n].float() if inputs[n].is_floating_point() else inputs[n] for n in names if n in inputs}


def library_masks(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """The library's own masks [4, L, L] and predicted IoU [4] for one prompt set: its single mask, then its three."""
    with torch.inference_mode():
        answers = [model(**inputs, multimask_output=multimask) for multimask in (False, True)]
    masks = np.concatenate([answer.pred_masks[0, 0].numpy() for answer in answers])
    return masks, np.concatenate([answer.iou_scores[0, 0].numpy() for answer in answers])


def assert_near(ours: np.ndarray, theirs: np.ndarray, share: float) -> None:
    """No value differs by more than a share of the spread of theirs."""
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= share * theirs.std()


def real_or_none(name: str) -> Path | None:
    """The folder of a model with real weights: `$GPOA_REAL_WEIGHTS/<name>`, where both exist."""
    root = os.environ.get("GPOA_REAL_WEIGHTS")
    return Path(root) / name if root and (Path(root) / name).is_dir() else None


def folders(tiny: Path, name: str) -> list[Path]:
    """The tiny model's folder and, where it is there, the real one's."""
    real = real_or_none(name)
    return [tiny] if real is None else [tiny, real]


def assert_one_line(raised: pytest.ExceptionInfo) -> None:
    assert "\n" not in str(raised.value)
