"""What an output folder holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.datasets.exporters.collection import open_run, with_images
from gpoa.errors import DataError, MaskError
from tests.datasets.exporters.runs import classes_run, instances_run, masks_run, objects, photograph


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    kinds = {make: open_run(make(tmp_path / make.__name__)).kind for make in (instances_run, classes_run, masks_run)}
    assert list(kinds.values()) == ["instances", "classes", "masks"]


def test_a_mask_without_a_record(tmp_path: Path) -> None:
    """The name is its stem; the image is found where the user says."""
    found = open_run(masks_run(tmp_path))
    (entry,) = found.entries
    assert (entry.stem, entry.name, entry.image_path, entry.confidence) == ("sub/a", "sub/a.png", None, None)
    photograph(tmp_path / "images" / "sub" / "a.png")
    (entry,) = with_images(found, tmp_path / "images").entries
    assert entry.image_path == tmp_path / "images" / "sub" / "a.png"
    assert np.array_equal(found.read(entry).ids, objects() > 0)


def test_lost_masks_are_named(tmp_path: Path) -> None:
    out = instances_run(tmp_path)
    (out / "labels" / "b.tif").unlink()
    assert open_run(out).notes == ["1 images of the run have no mask and are left out: b"]


def test_no_output_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; give the output folder of `gpoa run`"):
        open_run(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"holds no masks/ and no labels/"):
        open_run(tmp_path)


def test_a_class_without_a_name(tmp_path: Path) -> None:
    out = classes_run(tmp_path)
    Image.fromarray(np.full((40, 60), 7, np.uint8)).save(out / "labels" / "a.png")
    found = open_run(out)
    with pytest.raises(MaskError, match=r"a.png: holds the class 7, which run.json does not name"):
        found.read(found.entries[0])
