"""NIfTI: every slice a page, as it is stored."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gpoa.datasets.image_io import count_pages, image_size, load_image
from gpoa.errors import ImageError
from tests.datasets.files import one_line

nibabel = pytest.importorskip("nibabel")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_slices_are_pages(tmp_path: Path, name: str) -> None:
    """Voxel [i, j, k] is column i, row j of page k; a fourth axis follows the third."""
    volume = np.zeros((5, 4, 3, 2), np.int16)
    for page, (time, depth) in enumerate(np.ndindex(2, 3)):
        volume[page % 5, 1, depth, time] = 100 + page
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / name)
    assert count_pages(tmp_path / name) == 6 and image_size(tmp_path / name) == (4, 5)
    for page in range(6):
        image = load_image(tmp_path / name, page=page)
        assert image.shape == (4, 5, 3) and np.argwhere(image[..., 0]).tolist() == [[1, page % 5]]


def test_values_are_rescaled(tmp_path: Path) -> None:
    """A negative slope turns black and white round."""
    image = nibabel.Nifti1Image(np.array([[0], [50], [100]], np.int16)[..., None], np.eye(4))
    image.header.set_slope_inter(-2, 10)
    nibabel.save(image, tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii")
    assert load_image(tmp_path / "a.nii")[0, :, 0].tolist() == [255, 128, 0] == _stretch(stored.get_fdata()[:, 0, 0])


def _stretch(values: np.ndarray) -> list[int]:
    return np.rint((values - values.min()) / np.ptp(values) * 255).astype(int).tolist()


def test_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.nii").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImageError, match=r"NIfTI needs .*nibabel; run: pip install 'gpoa\[science\]'") as info:
        load_image(tmp_path / "a.nii")
    one_line(info, tmp_path / "a.nii")
