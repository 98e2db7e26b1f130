"""Masks to compare, each with the objects that its file tells apart: folders of pictures, or one COCO json file.

Sizes are (H, W).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from gpoa.datasets.coco import rle_to_mask
from gpoa.datasets.folder import MASK_FOLDERS, find_samples, unique_stems
from gpoa.datasets.mask_io import LOSSY_FORMATS, load_mask
from gpoa.datasets.mask_values import VOID, label_values
from gpoa.datasets.polygons import polygons_to_mask
from gpoa.errors import DataError, MaskError, ModelError, one_line
from gpoa.evaluation.instances import Truth, components
from gpoa.types import Size


@dataclass(frozen=True, eq=False)
class MaskContent:
    """What a mask file holds.

    Args:
        mask: [H, W] bool, all foreground.
        labels: [H, W] int64, 0 background, where a picture holds several labels; else None.
        segmentations: COCO segmentations of the objects, crowd regions left out; None for pictures.
        crowd: [H, W] bool, where COCO marks several objects as one region; None without such a region.
    """

    mask: np.ndarray
    labels: np.ndarray | None = None
    segmentations: tuple[Any, ...] | None = None
    crowd: np.ndarray | None = None

    @property
    def n_labels(self) -> int:
        """Objects that the file tells apart: labels, COCO objects, or 1 for a binary mask with foreground."""
        if self.segmentations is not None:
            return len(self.segmentations)
        return int(self.mask.any()) if self.labels is None else int(np.unique(self.labels[self.mask]).size)

    def objects(self, from_labels: bool) -> Truth:
        """The objects as a label image, or as one mask each.

        Args:
            from_labels: as the file numbers them, a binary mask being one object; else the connected components.
        """
        if not from_labels:
            return components(self.mask)
        if self.segmentations is not None:
            size = self.mask.shape
            return (_decode(segmentation, size) for segmentation in self.segmentations)
        return self.mask.astype(np.int64) if self.labels is None else self.labels


@dataclass(frozen=True, eq=False)
class MaskSource:
    """One mask on disk.

    Args:
        stem: the name by which it is matched, unique among its kind.
        path: the picture, or the COCO json file.
        size: (H, W) that a COCO file states; None for pictures.
        annotations: COCO annotations of the image; None for pictures.
    """

    stem: str
    path: Path
    size: Size | None = None
    annotations: tuple[dict[str, Any], ...] | None = None

    def read(self) -> MaskContent:
        """Reads the mask.

        Raises:
            MaskError: the file or the annotation cannot be read.
            ModelError: a COCO segmentation needs pycocotools, which is not installed.
        """
        if self.annotations is None:
            mask = load_mask(self.path, allow_empty=True)
            return MaskContent(mask, _read_labels(self.path, mask))
        assert self.size is not None, "COCO images come with their size"
        mask, crowd = np.zeros(self.size, dtype=bool), np.zeros(self.size, dtype=bool)
        single = []
        for annotation in self.annotations:
            try:
                found = _decode(annotation["segmentation"], self.size)
            except (LookupError, TypeError, ValueError) as error:
                reason = f"bad segmentation ({one_line(error)}); export it again"
                raise MaskError(f"{self.path}: {self.stem}: {reason}") from error
            mask |= found
            if annotation.get("iscrowd"):
                crowd |= found
            else:
                single.append(annotation["segmentation"])
        return MaskContent(mask, None, tuple(single), crowd if crowd.any() else None)


def find_masks(path: Path | str, coco: bool = False) -> list[MaskSource]:
    """The masks of a folder, of the `masks/` in it (beside which `gpoa run` puts other pictures), or of a COCO file.

    Args:
        path: a folder, or a COCO json file; all its categories are foreground.
        coco: accept a COCO file.

    Returns:
        At least one source, with unique stems.

    Raises:
        DataError: it does not exist, holds no mask, or is no COCO file.
    """
    path = Path(path)
    if coco and path.is_file() and path.suffix.lower() == ".json":
        return _coco_masks(path)
    if path.is_file():
        wanted = "a folder of masks or a COCO .json file" if coco else "a folder of masks"
        raise DataError(f"{path}: is a file, but {wanted} is expected")
    samples = find_samples(mask_folder(path), recursive=True)  # a run with --recursive mirrors its targets' folders
    return [MaskSource(sample.stem, sample.image_path) for sample in samples]


def mask_folder(folder: Path) -> Path:
    """The `masks/` (or `mask/`, `labels/`, ...) in a folder, or the folder itself."""
    return next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), folder)


def _coco_masks(path: Path) -> list[MaskSource]:
    """One source for each image of a COCO file, without annotation an empty mask."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        images = sorted(content["images"], key=lambda image: str(image["file_name"]))
        sizes = [(int(image["height"]), int(image["width"])) for image in images]
        if any(min(size) < 1 for size in sizes):
            raise ValueError("an image has a width or height below 1")
        found: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in images}
        for annotation in content["annotations"]:
            found[annotation["image_id"]].append(dict(annotation))
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else one_line(error)
        raise DataError(f"{path}: not a COCO file with images and annotations ({reason}); export it again") from error
    if not images:
        raise DataError(f"{path}: the COCO file names no image; export it again")
    stems = unique_stems([Path(str(image["file_name"])) for image in images])
    annotations = [tuple(found[image["id"]]) for image in images]
    return [MaskSource(stem, path, size, own) for stem, size, own in zip(stems, sizes, annotations, strict=True)]


def _decode(segmentation: Any, size: Sequence[int]) -> np.ndarray:
    """[H, W] bool of one COCO segmentation: uncompressed RLE, compressed RLE, or polygons."""
    height, width = size
    if isinstance(segmentation, dict):
        if [int(side) for side in segmentation["size"]] != [height, width]:
            raise ValueError(f"size {segmentation['size']} of the segmentation is not the image's {[height, width]}")
        if not isinstance(segmentation["counts"], str):
            return rle_to_mask(segmentation)
    else:
        with contextlib.suppress(ValueError, TypeError):  # polygons along the pixel edges, as we write them
            if segmentation:
                return polygons_to_mask(segmentation, (height, width))
    try:
        from pycocotools import mask as coding
    except ImportError as error:
        raise ModelError("COCO polygons and compressed RLE need pycocotools: pip install pycocotools") from error
    if isinstance(segmentation, dict):
        return coding.decode(segmentation).astype(bool)
    if not segmentation or any(len(ring) < 6 or len(ring) % 2 for ring in segmentation):
        raise ValueError("a polygon needs three or more points [x, y, x, y, ...]")
    return coding.decode(coding.merge(coding.frPyObjects(segmentation, height, width))).astype(bool)


def _read_labels(path: Path, mask: np.ndarray) -> np.ndarray | None:
    """[H, W] int64 of a picture whose foreground has more than one value, else None.

    None also for lossy files, for grey ramps (dark grey is background there), and for pictures turned by an EXIF tag.
    8-bit pictures with about 240 numbers or more look like grey ramps; 16-bit ones do not.
    """
    with Image.open(path) as picture:
        turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
        if turned or picture.format in LOSSY_FORMATS or picture.mode in ("1", "LA", "La", "PA", "RGBA", "RGBa"):
            return None
        if picture.mode in ("L", "P", "RGB") and picture.getcolors(2) is not None and not mask.all():
            return None  # one value beside the background, seen without a pass over the pixels in Python
        try:
            values = np.asarray(label_values(picture))
        except ValueError:  # coloured: every colour is a label
            values = np.asarray(picture.convert("RGB")).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    inside, outside = values[mask], values[~mask]
    if inside.size == 0 or (inside == inside[0]).all() or inside.min() <= 0 or (inside % 1 != 0).any():
        return None
    if (outside > 0).any() and not np.isin(outside[outside > 0], VOID).all():
        return None
    return np.where(mask, values, 0).astype(np.int64)
