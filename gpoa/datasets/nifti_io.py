"""NIfTI volumes through `nibabel`: every slice of the third axis, of every further axis too, is a page.

A slice is shown as it is stored: column i and row j of page k are the voxel [i, j, k], so that a mask can be put back.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.raster import Raster, check_bytes, missing
from gpoa.errors import ImageError


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI, by its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def count_nifti(path: Path) -> int:
    """Slices of a file.

    Raises:
        ImageError: nibabel is not installed; the message lacks the path.
    """
    return math.prod(_open(path).shape[2:])


def nifti_size(path: Path) -> tuple[int, int]:
    """(H, W) of a slice.

    Raises:
        ImageError: as `count_nifti`.
    """
    shape = _open(path).shape
    return shape[1], shape[0]


def read_nifti(path: Path, number: int) -> Raster:
    """One slice, rescaled as the file says.

    Args:
        path: the file.
        number: of the slice, from 0; the third axis runs fastest.

    Raises:
        ImageError: there is no such slice, or nibabel is not installed; the message lacks the path.
    """
    volume = _open(path)
    depth = math.prod(volume.shape[2:])
    if number >= depth:
        raise ImageError(f"there is no slice {number}; the file has {depth}, from 0")
    check_bytes(volume.shape[:2], np.dtype(np.float64))
    place = np.unravel_index(number, volume.shape[2:], order="F") if len(volume.shape) > 2 else ()
    index = (slice(None), slice(None), *(int(one) for one in place))
    values = np.asarray(volume.dataobj[index])
    if values.dtype.names:  # the type of RGB volumes
        values = np.stack([values[name] for name in values.dtype.names], axis=-1)
        return Raster(values.transpose(1, 0, 2), "nifti", colour=True, alpha=values.shape[2] == 4)
    return Raster(values.T[..., None], "nifti")


def _open(path: Path) -> Any:
    """The volume, its voxels not read yet."""
    try:
        import nibabel
    except ImportError as error:
        raise ImageError(missing("NIfTI", "nibabel")) from error
    volume: Any = nibabel.load(path)  # the class of the file's kind; all of them have a shape
    if len(volume.shape) < 2:
        raise ImageError(f"the volume has shape {volume.shape}; at least rows and columns are needed")
    return volume
