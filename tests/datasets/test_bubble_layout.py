"""The bubble project's folders as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gpoa.datasets.bubble_layout import initial_points, is_bubble_layout, load_bubble_layout
from gpoa.datasets.image_io import load_image
from gpoa.errors import PromptError
from gpoa.types import Sample


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Two images a part, 140 pixels a side, with a disc; prompts for one of them."""
    y, x = np.mgrid[0:140, 0:140]
    mask = (x - 70) ** 2 + (y - 40) ** 2 < 400
    for part in ("training", "testing"):
        for kind in ("images", "masks", "prompts"):
            (tmp_path / part / kind).mkdir(parents=True)
        for index in range(2):
            image = np.where(mask, 200, 40 + index).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / part / "images" / f"{part}{index}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / part / "masks" / f"{part}{index}.png")
    prompts = tmp_path / "training" / "prompts"
    torch.save(torch.tensor([25, 24, 25]), prompts / "training0_initial_indices_pos.pt")
    torch.save(torch.tensor([[99], [0]]), prompts / "training0_initial_indices_neg.pt")
    return tmp_path


def _sample(layout: Path, part: str, index: int) -> Sample:
    return Sample(f"{part}{index}", layout / part / "images" / f"{part}{index}.png")


def test_parts_are_training_and_validation(layout: Path) -> None:
    assert is_bubble_layout(layout) and not is_bubble_layout(layout / "training")
    (train,), (test,) = load_bubble_layout(layout)
    assert [sample.stem for sample in train.samples] == ["training0", "training1"]
    # The reference of the testing images is a training image.
    assert [sample.stem for sample in test.samples] == ["training0", "testing0", "testing1"]
    assert load_image(train.samples[0].image_path).shape == (140, 140, 3)


def test_patches_become_points(layout: Path) -> None:
    points = initial_points(_sample(layout, "training", 0), (140, 140))
    assert points is not None
    # Patch 24 is row 2, column 4 of ten; the centre of a patch of 14 pixels is at 6.5.
    np.testing.assert_allclose(points.xy[:2], [[62.5, 34.5], [76.5, 34.5]])
    np.testing.assert_allclose(points.xy[2:], [[6.5, 6.5], [132.5, 132.5]])
    assert points.labels.tolist() == [1, 1, 0, 0]


def test_no_prompts_are_no_mistake(layout: Path) -> None:
    assert initial_points(_sample(layout, "training", 1), (140, 140)) is None
    empty = layout / "testing" / "prompts" / "testing0_initial_indices_pos.pt"
    torch.save(torch.empty(0, dtype=torch.int64), empty)
    assert initial_points(_sample(layout, "testing", 0), (140, 140)) is None


def test_wrong_prompts_are_told(layout: Path) -> None:
    with pytest.raises(PromptError, match="patch 99 is not one of the image's 5 x 5 patches"):
        initial_points(_sample(layout, "training", 0), (70, 70))
    (layout / "testing" / "prompts" / "testing0_initial_indices_pos.pt").write_bytes(b"broken")
    with pytest.raises(PromptError, match="not a tensor of patch numbers"):
        initial_points(_sample(layout, "testing", 0), (140, 140))
