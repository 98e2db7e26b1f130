"""Label images: which objects a reference's mask holds, and files of 16 and 32 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.datasets.label_io import load_labelled, load_labels, objects_of, save_labels
from gpoa.errors import DataError

IMAGE = np.zeros((20, 30, 3), dtype=np.uint8)


def touching() -> np.ndarray:
    """Two objects side by side, with a gap in the numbers, one above 65,535."""
    values = np.zeros((20, 30), dtype=np.int64)
    values[5:10, 5:10], values[5:10, 10:15] = 3, 70_000
    return values


def test_numbers_are_objects() -> None:
    labels = load_labelled(IMAGE, touching())[1]
    assert np.unique(labels).tolist() == [0, 1, 2] and (labels > 0).sum() == 50


def test_parts_of_a_binary_mask_are_objects() -> None:
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[2:5, 2:5] = mask[10:15, 10:15] = 255
    assert load_labelled(IMAGE, mask)[1].max() == 2
    assert load_labelled(IMAGE, touching() > 0)[1].max() == 1


def test_classes_of_many_parts_are_no_objects() -> None:
    values = np.zeros((20, 30), dtype=np.uint8)
    values[2:18:4, 2:28:4] = 1
    values[4:18:4, 4:28:4] = 2
    assert objects_of(values).max() == (values > 0).sum()


def test_files(tmp_path: Path) -> None:
    labels = touching()
    save_labels(tmp_path / "a.tif", labels.astype(np.uint32))
    assert (load_labels(tmp_path / "a.tif") == labels).all()
    small = np.where(labels == 70_000, 4, labels).astype(np.uint16)
    save_labels(tmp_path / "b.png", small)
    assert (load_labels(tmp_path / "b.png") == small).all() and Image.open(tmp_path / "b.png").mode.startswith("I")
    with pytest.raises(ValueError, match="16 bits"):
        save_labels(tmp_path / "c.png", labels.astype(np.uint32))
    Image.fromarray(small).save(tmp_path / "ref.png")
    Image.fromarray(IMAGE).save(tmp_path / "image.png")
    assert load_labelled(tmp_path / "image.png", tmp_path / "ref.png")[1].max() == 2


def test_a_coloured_picture_is_no_label_image(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="no label image"):
        load_labels(tmp_path / "a.png")
