"""DICOM through `pydicom`: single and multi-frame, rescaled, with the file's own window, MONOCHROME1 inverted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpoa.datasets.intensity import Window
from gpoa.datasets.raster import Raster, check_bytes, missing
from gpoa.errors import ImageError

SUFFIXES = (".dcm", ".dicom", ".ima")


def is_dicom(path: Path, head: bytes) -> bool:
    """Whether a file is DICOM, by its first 132 bytes or its suffix."""
    return head[128:132] == b"DICM" or path.suffix.lower() in SUFFIXES


def count_dicom(path: Path) -> int:
    """Frames of a file.

    Raises:
        ImageError: pydicom is not installed, or the file holds no picture; the message lacks the path.
    """
    return int(_header(path).get("NumberOfFrames", 1) or 1)


def dicom_size(path: Path) -> tuple[int, int]:
    """(H, W).

    Raises:
        ImageError: as `count_dicom`.
    """
    header = _header(path)
    return int(header.Rows), int(header.Columns)


def read_dicom(path: Path, number: int) -> Raster:
    """One frame.

    Args:
        path: the file.
        number: of the frame, from 0.

    Raises:
        ImageError: there is no such frame, or a package is missing; the message lacks the path.
    """
    header = _header(path, pixels=True)
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if number >= frames:
        raise ImageError(f"there is no frame {number}; the file has {frames}, from 0")
    dtype = np.dtype(f"u{max(1, header.BitsAllocated // 8)}")
    check_bytes((header.Rows, header.Columns, header.SamplesPerPixel), dtype)
    from pydicom.pixels import apply_color_lut, apply_voi_lut, pixel_array

    try:
        values = pixel_array(header, index=number)
    except (RuntimeError, NotImplementedError, ImportError) as error:
        syntax = header.file_meta.TransferSyntaxUID.name
        raise ImageError(missing(f"the compression of this DICOM ({syntax})", "pylibjpeg (or gdcm)")) from error
    if header.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, header)
    if values.ndim == 3:
        return Raster(values, "dicom", colour=True)
    slope, intercept = _rescale(header, number)
    padding = header.get("PixelPaddingValue")
    nodata = None if padding is None else float(padding) * slope + intercept
    if (slope, intercept) != (1.0, 0.0):
        values = values * slope + intercept
    window = _window(header, number)
    if window is None and "VOILUTSequence" in header:
        values, nodata = apply_voi_lut(values.astype(np.int64), header), None
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    return Raster(values[..., None], "dicom", nodata=nodata, window=window, inverted=inverted)


def _header(path: Path, pixels: bool = False) -> Any:
    """The data set; without pixels unless asked for."""
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(missing("DICOM", "pydicom")) from error
    header = pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
    if "Rows" not in header or "Columns" not in header:
        raise ImageError("the DICOM file holds no picture; give an image, not a report or a directory")
    return header


def _of_frame(header: Any, number: int, group: str) -> Any:
    """The part of the data set that describes a frame: its own, the shared one, or the data set itself."""
    for sequence, place in (("PerFrameFunctionalGroupsSequence", number), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(sequence) or []
        if place < len(items) and items[place].get(group):
            return items[place].get(group)[0]
    return header


def _rescale(header: Any, number: int) -> tuple[float, float]:
    """(slope, intercept)."""
    described = _of_frame(header, number, "PixelValueTransformationSequence")
    return float(described.get("RescaleSlope", 1) or 1), float(described.get("RescaleIntercept", 0) or 0)


def _window(header: Any, number: int) -> Window | None:
    """(black, white) of the first window (PS3.3 C.11.2.1.2), None where there is none."""
    described = _of_frame(header, number, "FrameVOILUTSequence")
    centre, width = _first(described.get("WindowCenter")), _first(described.get("WindowWidth"))
    if centre is None or width is None or width <= 0:
        return None
    if described.get("VOILUTFunction", "LINEAR") == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1e-3)
    return centre - width / 2, centre + width / 2


def _first(value: Any) -> float | None:
    """The first of one or several numbers."""
    if value is None or value == "":
        return None
    several = value if hasattr(value, "__len__") and not isinstance(value, str) else [value]
    return float(several[0]) if len(several) else None
