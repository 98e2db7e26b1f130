"""Masks as TIFF: one page, or a stack with a page for each of the image's; georeferenced as the image is."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.datasets.geo import copy_georeference
from gpoa.datasets.mask_io import load_mask
from gpoa.runtime.atomic import write_atomic
from gpoa.types import Sample

logger = logging.getLogger(__name__)


def write_mask_stack(path: Path, masks: Sequence[np.ndarray], image_path: Path | None = None) -> None:
    """Writes masks as the pages of a TIFF of 0 and 255, atomically.

    Args:
        path: the file.
        masks: one or several [H, W] bool.
        image_path: the image that they belong to; its coordinate system and transform are copied where it has one.

    Raises:
        ValueError: there is no mask, or one is not [H, W] bool.
        DataError: the file cannot be written, or rasterio, which a georeferenced image needs, is not installed.
    """
    import tifffile

    if not masks or any(mask.ndim != 2 or mask.dtype != np.bool_ for mask in masks):
        raise ValueError("masks: expected one or several [H, W] bool")
    content = io.BytesIO()
    with tifffile.TiffWriter(content) as file:
        for mask in masks:
            values = mask.astype(np.uint8) * 255
            file.write(values, photometric="minisblack", compression="zlib", metadata=None, contiguous=False)
    write_atomic(path, content.getvalue())
    if image_path is not None:
        copy_georeference(image_path, path)


def write_mask_tiffs(masks: Path, folder: Path, samples: Sequence[Sample]) -> list[Path]:
    """Writes a TIFF for every image file, from the PNG masks of a run: the pages of a stack come together again.

    Args:
        masks: folder of `<stem>.png`.
        folder: receives `<name of the image file>.tif`.
        samples: one a page, as `expand_pages` made them.

    Returns:
        The files written. A page without a mask (it failed) is an empty page of the stack, and a line says so; an image
        without any gets no file.

    Raises:
        DataError: a file cannot be written, or rasterio is not installed.
    """
    files: dict[Path, list[Sample]] = {}
    for sample in samples:
        files.setdefault(sample.image_path, []).append(sample)
    written = []
    for image_path, pages in files.items():
        made = {page.stem: masks / f"{page.stem}.png" for page in pages}
        found = {stem: load_mask(path, allow_empty=True) for stem, path in made.items() if path.is_file()}
        if not found:
            continue
        lost = [page.stem for page in pages if page.stem not in found]
        if lost:
            logger.warning("%s: no mask of %s; its page is empty in the stack", image_path, ", ".join(lost))
        empty = np.zeros(next(iter(found.values())).shape, dtype=bool)
        written.append(folder / f"{_stem(pages)}.tif")
        write_mask_stack(written[-1], [found.get(page.stem, empty) for page in pages], image_path)
    return written


def _stem(pages: Sequence[Sample]) -> str:
    """The name of a file's samples without the number of the page."""
    first = pages[0]
    return first.stem.removesuffix(f"_p{first.page:04d}") if first.page is not None else first.stem
