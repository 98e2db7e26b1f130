"""DICOM: rescaled, windowed, inverted, one frame or many."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gpoa.datasets.image_io import count_pages, image_size, load_image
from gpoa.errors import ImageError
from tests.datasets.files import one_line

pydicom = pytest.importorskip("pydicom")


def write(path: Path, values: np.ndarray, frames: int = 1, photometric: str = "MONOCHROME2", **tags: object) -> Path:
    """A file of [frames, H, W] int16 or uint8, or [H, W, 3] uint8 values."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, pydicom.uid.generate_uid()
    colour = photometric == "RGB"
    data.Rows, data.Columns = values.shape[:2] if colour else values.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 3 if colour else 1, photometric
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(values.dtype.kind == "i")
    if colour:
        data.PlanarConfiguration = 0
    if frames > 1:
        data.NumberOfFrames = frames
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = values.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def test_rescale_and_window(tmp_path: Path) -> None:
    """Hounsfield units -160 to 240: PS3.3 C.11.2.1.2 with centre 40.5 and width 401."""
    stored = np.array([[824, 1064, 1264, 3000]], np.int16)  # -200, 40, 240, 1976
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": [40.5, 9], "WindowWidth": [401, 9]}
    path = write(tmp_path / "a.dcm", stored, **tags)
    assert load_image(path)[0, :, 0].tolist() == [0, 128, 255, 255]
    assert image_size(path) == (1, 4) and count_pages(path) == 1


def test_without_window_the_values_are_stretched_and_monochrome1_is_inverted(tmp_path: Path) -> None:
    stored = np.array([[-100, 0, 100, 100]], np.int16)
    assert load_image(write(tmp_path / "a.dcm", stored))[0, :, 0].tolist() == [0, 128, 255, 255]
    turned = load_image(write(tmp_path / "b.dcm", stored, photometric="MONOCHROME1"))
    assert turned[0, :, 0].tolist() == [255, 127, 0, 0]


def test_frames_are_pages(tmp_path: Path) -> None:
    """8-bit values are as stored."""
    stored = np.arange(3, dtype=np.uint8)[:, None, None] * 50 + np.zeros((1, 4, 6), np.uint8)
    path = write(tmp_path / "no_suffix", stored, frames=3)
    assert count_pages(path) == 3
    assert [load_image(path, page=page)[0, 0].tolist() for page in range(3)] == [[0] * 3, [50] * 3, [100] * 3]
    with pytest.raises(ImageError, match="no frame 3; the file has 3") as info:
        load_image(path, page=3)
    one_line(info, path)


def test_padding_does_not_count(tmp_path: Path) -> None:
    stored = np.array([[-2000, 0, 50, 100]], np.int16)
    path = write(tmp_path / "a.dcm", stored, PixelPaddingValue=-2000)
    assert load_image(path)[0, :, 0].tolist() == [0, 0, 128, 255]


def test_colour(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", np.full((2, 4, 3), (1, 2, 3), np.uint8), photometric="RGB")
    assert (load_image(path) == (1, 2, 3)).all()


def test_no_picture_and_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"not a picture, whatever its name says")
    with pytest.raises(ImageError, match="a.dcm"):
        load_image(path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match=r"DICOM needs .*pydicom; run: pip install 'gpoa\[science\]'") as info:
        load_image(path)
    one_line(info, path)
