"""Masks to compare, each with the objects that its file tells apart: folders of pictures, one annotation file for all
images (COCO, Label Studio, CVAT), or a folder of one for each (YOLO, ImageJ).

Sizes are (H, W).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from gpoa.datasets.coco import mask_to_rle
from gpoa.datasets.folder import MASK_FOLDERS, entries, find_samples, images_in, natural_key, unique_stems
from gpoa.datasets.image_io import image_size
from gpoa.datasets.importers.coco import decode_segmentation
from gpoa.datasets.importers.reading import MANY_IMAGES, ONE_IMAGE, Annotated, read_annotations, read_shapes
from gpoa.datasets.importers.shapes import Shape
from gpoa.datasets.mask_io import LOSSY_FORMATS, load_mask
from gpoa.datasets.mask_values import VOID, label_values
from gpoa.errors import DataError, MaskError, one_line
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
            return (decode_segmentation(segmentation, size) for segmentation in self.segmentations)
        return self.mask.astype(np.int64) if self.labels is None else self.labels


@dataclass(frozen=True, eq=False)
class MaskSource:
    """One mask on disk.

    Args:
        stem: the name by which it is matched, unique among its kind.
        path: the picture, or the COCO json file.
        size: (H, W) that a COCO file states; None for pictures.
        annotations: COCO annotations of the image; None for pictures.
        shapes: reads the objects of another annotation file; None for pictures and COCO.
    """

    stem: str
    path: Path
    size: Size | None = None
    annotations: tuple[dict[str, Any], ...] | None = None
    shapes: Callable[[], tuple[Size, list[Shape]]] | None = None

    def read(self) -> MaskContent:
        """Reads the mask.

        Raises:
            MaskError: the file or the annotation cannot be read.
            ModelError: a COCO segmentation needs pycocotools, which is not installed.
        """
        if self.shapes is not None:
            return _content_of(*self.shapes())
        if self.annotations is None:
            mask = load_mask(self.path, allow_empty=True)
            return MaskContent(mask, _read_labels(self.path, mask))
        assert self.size is not None, "COCO images come with their size"
        mask, crowd = np.zeros(self.size, dtype=bool), np.zeros(self.size, dtype=bool)
        single = []
        for annotation in self.annotations:
            try:
                found = decode_segmentation(annotation["segmentation"], self.size)
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
    """The masks of a folder, of the `masks/` in it (beside which `gpoa run` puts other pictures), or of annotations.

    Args:
        path: a folder; a COCO or Label Studio json file, a CVAT xml file; a folder of YOLO text files or of ImageJ's
            ROIs, whose images lie in `images/` beside it or in the folder itself. All classes are foreground.
        coco: accept annotations.

    Returns:
        At least one source, with unique stems.

    Raises:
        DataError: it does not exist, holds no mask, or is no COCO file.
    """
    path = Path(path)
    if coco and path.is_file() and path.suffix.lower() in MANY_IMAGES:
        return _annotated_masks(path) if _is_other(path) else _coco_masks(path)
    if coco and path.is_dir() and (files := _one_each(path)):
        named = zip(unique_stems(files), files, strict=True)
        return [MaskSource(stem, file, shapes=partial(_shapes_beside, file)) for stem, file in named]
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


def _is_other(path: Path) -> bool:
    """Whether an annotation file is another than COCO's: xml, or a json list."""
    if path.suffix.lower() == ".xml":
        return True
    with contextlib.suppress(OSError, ValueError), path.open(encoding="utf-8-sig") as file:
        return file.read(64).lstrip().startswith("[")
    return False


def _annotated_masks(path: Path) -> list[MaskSource]:
    """One source for each image of a Label Studio or CVAT file."""
    images = read_annotations(path)
    if not images:
        raise DataError(f"{path}: the file names no image; export it again")
    named = zip(unique_stems([Path(one.name) for one in images]), images, strict=True)
    return [MaskSource(stem, path, one.size, shapes=partial(_shapes_of, path, one)) for stem, one in named]


def _shapes_of(path: Path, one: Annotated) -> tuple[Size, list[Shape]]:
    """The objects of one image of a file of many."""
    if one.size is None:
        raise MaskError(f"{path}: {one.name}: has no region, so that its size is not known; give its mask as a picture")
    return one.size, read_shapes(path, one, one.size)


def _one_each(folder: Path) -> list[Path]:
    """The annotation files of one image each in a folder (or in the `labels/` in it); none where it holds pictures that
    have no such file, which are masks then.
    """
    place = mask_folder(folder)
    kinds = [[path for path in entries(place) if path.suffix.lower() == kind] for kind in ONE_IMAGE]
    several = [path for path in max(kinds, key=len) if path.stem != "classes"]
    if {image.stem for image in images_in(place)} - {path.stem for path in several}:
        return []
    return sorted(several, key=natural_key)


def _shapes_beside(path: Path) -> tuple[Size, list[Shape]]:
    """The objects of a file of one image, whose size its picture says."""
    (one,) = read_annotations(path)
    places = [folder for folder in (path.parent.parent / "images", path.parent) if folder.is_dir()]
    found = [image for folder in places for image in images_in(folder) if image.stem == path.stem]
    if not found:
        raise MaskError(f"{path}: its image, which says its size, is neither beside it nor in ../images/")
    size = image_size(found[0])
    return size, read_shapes(path, one, size)


def _content_of(size: Size, shapes: list[Shape]) -> MaskContent:
    """Objects as a mask's content."""
    mask = np.zeros(size, dtype=bool)
    for shape in shapes:
        mask |= shape.mask
    return MaskContent(mask, None, tuple(mask_to_rle(shape.mask) for shape in shapes))


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
