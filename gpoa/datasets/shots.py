"""Labelled examples and images as the Python interface takes them: paths or arrays, one or several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gpoa.config import ReadingConfig
from gpoa.datasets.image_io import DEFAULT, load_image
from gpoa.datasets.importers.reading import is_annotation, mask_of_annotations
from gpoa.datasets.mask_io import foreground_of_array, read_foreground
from gpoa.datasets.mask_remarks import describe_mask
from gpoa.datasets.mask_values import Foreground
from gpoa.datasets.options import NO_OPTIONS, MaskOptions
from gpoa.errors import DataError, ImageError, MaskError
from gpoa.types import Sample, Size

ImageLike = str | Path | np.ndarray


def to_pixels(image: ImageLike, reading: ReadingConfig = DEFAULT) -> np.ndarray:
    """The pixels of a path (of its first page, or of the projection) or an array, [H, W, 3] uint8.

    Raises:
        ImageError: the file cannot be read, or the array is of another kind.
    """
    if not isinstance(image, np.ndarray):
        return load_image(image, reading)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"image array is {image.dtype} {image.shape}; give [H, W, 3] uint8 RGB")
    return image


def zip_shots(
    references: ImageLike | Sequence[ImageLike], masks: ImageLike | Sequence[ImageLike]
) -> list[tuple[ImageLike, ImageLike]]:
    """Pairs images with masks, whether one or several of each are given.

    Raises:
        DataError: their numbers differ, or there are none.
    """
    single = (str, Path, np.ndarray)
    images = [references] if isinstance(references, single) else list(references)
    labels = [masks] if isinstance(masks, single) else list(masks)
    if not images or len(images) != len(labels):
        raise DataError(f"{len(images)} reference images but {len(labels)} masks; give one mask for each image")
    return list(zip(images, labels, strict=True))


def load_shot(
    image: ImageLike, mask: ImageLike, options: MaskOptions = NO_OPTIONS, reading: ReadingConfig = DEFAULT
) -> tuple[np.ndarray, np.ndarray]:
    """Loads one labelled example: ([H, W, 3] uint8, [H, W] bool).

    Args:
        image: a path, or [H, W, 3] uint8 RGB.
        mask: a path, or [H, W] bool, integer or float.
        options: what the object is, where the mask's values do not say so.

    Raises:
        ImageError, MaskError: a file or an array cannot be used.
    """
    pixels = to_pixels(image, reading)
    return pixels, _foreground(image, mask, (pixels.shape[0], pixels.shape[1]), options).mask


def describe_shots(
    references: ImageLike | Sequence[ImageLike],
    masks: ImageLike | Sequence[ImageLike],
    options: MaskOptions = NO_OPTIONS,
) -> list[str]:
    """Reads all labelled examples and says what their masks are: coverage, rule, and what looks like a mistake.

    Args:
        references: one image or several, as `ImagePipeline.fit` takes them.
        masks: as many masks.
        options: what the object is, where the masks' values do not say so.

    Returns:
        Lines to print; at least one for each mask.

    Raises:
        ImageError, MaskError: a file or an array cannot be used.
        DataError: the numbers of images and masks differ.
    """
    shots = zip_shots(references, masks)
    lines = []
    for number, (image, mask) in enumerate(shots, start=1):
        name = f"{number}" if isinstance(mask, np.ndarray) else Path(mask).name
        pixels = to_pixels(image)
        found = _foreground(image, mask, (pixels.shape[0], pixels.shape[1]), options)
        lines += describe_mask(found, options, name if len(shots) > 1 else "")
    return lines


def without_references(
    samples: Sequence[Sample], examples: Iterable[Path | str]
) -> tuple[list[Sample], list[Sample]]:
    """Leaves reference images and their masks out of the targets: the same file, or one with the same bytes.

    Args:
        samples: the targets.
        examples: files of the reference images and their masks.

    Returns:
        (what remains, what was left out); where nothing would remain (the user wants the reference itself segmented),
        all samples and nothing.
    """
    known = [Path(path) for path in examples]
    places = {path.resolve() for path in known}
    sizes = {path.stat().st_size for path in known if path.is_file()} - {0}  # an empty file is like any other
    digests = {_file_digest(path) for path in known if path.is_file()}

    def is_known(path: Path) -> bool:
        if path.resolve() in places:
            return True
        try:
            return path.stat().st_size in sizes and _file_digest(path) in digests
        except OSError:  # reported when it is its turn
            return False

    left_out = [sample for sample in samples if is_known(sample.image_path)]
    if len(left_out) == len(samples):
        return list(samples), []
    return [sample for sample in samples if sample not in left_out], left_out


def say_left_out(left_out: Sequence[Sample], total: int) -> str:
    """One line on what `without_references` left out of `total` targets."""
    names = ", ".join(sample.image_path.name for sample in left_out[:5])
    more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    return f"left out {len(left_out)} of {total} targets, which are references or their masks: {names}{more}"


def _foreground(image: ImageLike, mask: ImageLike, size: Size, options: MaskOptions) -> Foreground:
    """The foreground of an array, a mask file, or an annotation file that knows the image."""
    if isinstance(mask, np.ndarray):
        return foreground_of_array(mask, size, options)
    if not is_annotation(Path(mask)):
        if options.label_name is not None:
            raise MaskError(f"{mask}: --label-name is for annotation files; --label takes one id of a picture")
        return read_foreground(mask, size, options=options)
    name = "" if isinstance(image, np.ndarray) else Path(image).name
    label = options.label_name if options.label is None else str(options.label)
    found = mask_of_annotations(Path(mask), name, size, label) ^ options.invert_mask
    if found.all() or not found.any():
        raise MaskError(f"{mask}: {'all' if found.all() else 'nothing'} of {name or 'the image'} is object")
    rule = "every annotated object counts" if label is None else f"objects of the class {label} count"
    return Foreground(found, rule, np.empty(0))


def _file_digest(path: Path) -> bytes:
    """16 bytes over a file's content."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
