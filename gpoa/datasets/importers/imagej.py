"""ImageJ: one .roi file, or a .zip of them; areas only."""

from __future__ import annotations

import re
from pathlib import Path

from gpoa.datasets.importers.shapes import Shape
from gpoa.datasets.polygons import fill_rings
from gpoa.datasets.raster import missing
from gpoa.errors import DataError
from gpoa.types import Size


def shapes_of(path: Path, size: Size) -> list[Shape]:
    """The areas among the ROIs, labelled by their names without a number before it.

    Args:
        path: the file.
        size: (H, W) of the image.

    Raises:
        DataError: roifile is not installed.
        ValueError: the file is damaged, or holds points and lines only.
    """
    try:
        from roifile import ROI_TYPE, roiread
    except ImportError as error:
        raise DataError(missing("ImageJ ROIs", "roifile", "export")) from error
    try:
        found = roiread(path)
    except Exception as error:  # its reader raises many kinds for damaged bytes
        raise ValueError(f"not ImageJ's ROIs ({type(error).__name__})") from error
    areas = (ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
    rois = [roi for roi in (found if isinstance(found, list) else [found]) if roi.roitype in areas]
    if found and not rois:
        raise ValueError("the ROIs are points or lines, which have no area")
    rings = [list(roi.coordinates(multi=True)) for roi in rois]
    labels = [re.sub(r"^\d+-", "", roi.name or "") for roi in rois]
    return [Shape(label, fill_rings(own, size)) for label, own in zip(labels, rings, strict=True)]
