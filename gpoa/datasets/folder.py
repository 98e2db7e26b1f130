"""Folders of images and masks as samples.

Every sample's stem is unique, also on file systems that ignore case, so that `<stem>.json` and `<stem>.png` made from
two images never overwrite each other: of `a.png` and `a.jpg`, both get their suffix into the stem, `a_png` and `a_jpg`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from gpoa.errors import DataError
from gpoa.types import Sample

IMAGE_SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".avif", ".pgm", ".ppm",
    ".pbm", ".pnm", ".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".heic", ".heif", ".hif",
))  # fmt: skip
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "ground_truth", "gt")
LAYOUT_NAMES = {
    "reference_images": ("reference_image", "reference_images"),
    "reference_masks": ("reference_mask", "reference_masks"),
    "target_images": ("target_image", "target_images"),
    "initial_prompts": ("initial_prompts", "initial_prompt", "initial_indices"),
    "optimized_prompts": ("optimized_prompts", "optimized_prompt", "optimized_indices"),
}
MASK_SUFFIX = re.compile(r"[_\-. ](mask|masks|gt|seg|label)$", re.IGNORECASE)
OWN_FOLDERS = (
    *("masks", "overlays", "initial_prompts", "optimized_prompts", "traces"),
    *("reference_masks", "labels", "labels_tiff", "objects", "export"),
)
"""Folders below an output folder of gpoa."""
OWN_PICTURE = "contact_sheet.jpg"
"""The only picture in an output folder itself."""
LISTED = 8
"""An error names at most this many files."""

Paths = Path | str | Sequence[Path | str]


@dataclass(frozen=True)
class Layout:
    """The folders of one project in the layout that the field's users know; None where one does not exist.

    Args:
        reference_images: the labelled example's image.
        reference_masks: the labelled example's mask.
        target_images: the images to segment.
        initial_prompts: prompt files before the optimisation.
        optimized_prompts: prompt files after it.
    """

    reference_images: Path | None
    reference_masks: Path | None
    target_images: Path | None
    initial_prompts: Path | None
    optimized_prompts: Path | None


def list_images(folder: Path | str) -> list[Path]:
    """The image files of a folder (not of its subfolders), in natural order: `2.png` before `10.png`.

    Args:
        folder: the folder; hidden files and files of other kinds are left out.

    Returns:
        At least one path.

    Raises:
        DataError: the folder does not exist, is a file, cannot be read, or holds no image.
    """
    found = images_in(Path(folder))
    if not found and any(images_in(below) for below in folders_below(Path(folder))):
        raise DataError(f"{folder}: no image in this folder, only in its subfolders; --recursive takes those")
    if not found:
        raise DataError(f"{folder}: no image in this folder; known suffixes are {' '.join(sorted(IMAGE_SUFFIXES))}")
    return found


def is_image(path: Path) -> bool:
    """Whether a file's suffix says that it is an image; a dangling link counts, so that it is reported, not lost."""
    return path.name.lower().endswith(tuple(IMAGE_SUFFIXES)) and not path.is_dir()


def is_output(folder: Path) -> bool:
    """Whether `gpoa run` or `gpoa segment` has written into a folder."""
    return (folder / "masks").is_dir() and (folder / "overlays").is_dir()


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder in natural order, perhaps none; gpoa's own contact sheet is left out.

    Raises:
        DataError: the folder does not exist, is a file, or cannot be read.
    """
    own = OWN_PICTURE if is_output(folder) else None
    return sorted((path for path in entries(folder) if is_image(path) and path.name != own), key=natural_key)


def folders_below(folder: Path) -> Iterator[Path]:
    """All folders below one, each before those inside it, in natural order.

    Left out are hidden folders, links to folders, what gpoa wrote, and `masks/` where it lies beside `images/`.
    """
    inner = _subfolders(folder)
    left_out = set(OWN_FOLDERS) if is_output(folder) else set()
    left_out |= {"pictures"} if (folder / "reference.gpoa.npz").is_file() else set()  # from `gpoa prompts`
    masks = _first(inner, MASK_FOLDERS) if _first(inner, IMAGE_FOLDERS) is not None else None
    for child in sorted(inner, key=natural_key):
        if child.name not in left_out and child != masks and not child.is_symlink():
            yield child
            yield from folders_below(child)


def find_samples(images: Paths, recursive: bool = False) -> list[Sample]:
    """The images that a user means by a file, a folder, or several of both.

    Args:
        images: a file; a folder of images; a folder that holds `target_image/` or `images/` (and perhaps `masks/`
            beside it) instead of images; or a sequence of these. A file that is named twice counts once.
        recursive: also take the images of all folders below a folder; the stems of these begin with their place in it,
            as `sub/a`.

    Returns:
        At least one sample with unique stems. `mask_path` is set only where `masks/` lies beside `images/`.

    Raises:
        DataError: a path does not exist, or no image is found.
    """
    several = [images] if isinstance(images, (str, Path)) else list(images)
    if not several:
        raise DataError("no image was given; give a file or a folder")
    found: dict[Path, tuple[Path | None, str]] = {}
    for entry in several:
        for path, mask, place in _expand_tree(Path(entry)) if recursive else _expand(Path(entry)):
            found.setdefault(path, (mask, place))
    stems = _placed_stems({path: place for path, (_, place) in found.items()})
    return [Sample(stems[path], path, mask) for path, (mask, _) in found.items()]


def pair_masks(images: Paths, masks: Paths, allow_missing: bool = False) -> list[Sample]:
    """Pairs images with masks by stem; a mask may carry `_mask`, `-mask`, `.mask`, `_gt`, `_seg` after the stem.

    Args:
        images: as in `find_samples`.
        masks: as in `find_samples`.
        allow_missing: leave out images without a mask and masks without an image instead of refusing them.

    Returns:
        Samples with `mask_path`, in the order of the images.

    Raises:
        DataError: a path does not exist, no pair is found, or something is left over and `allow_missing` is False.
    """
    samples, mask_samples = find_samples(images), find_samples(masks)
    pairs = match_stems([s.stem for s in samples], [s.stem for s in mask_samples])
    if not allow_missing:
        without = [s.image_path.name for index, s in enumerate(samples) if index not in pairs]
        unused = set(range(len(mask_samples))) - set(pairs.values())
        problems = [f"no mask for {_some(without)}"] if without else []
        problems += (
            [f"no image for {_some([mask_samples[i].image_path.name for i in sorted(unused)])}"] if unused else []
        )
        if problems:
            raise DataError(f"{masks}: {'; '.join(problems)}; name each mask like its image, or like it plus _mask")
    if not pairs:
        raise DataError(f"{masks}: no mask has the name of an image in {images}; name each mask like its image")
    return [
        Sample(samples[i].stem, samples[i].image_path, mask_samples[j].image_path) for i, j in sorted(pairs.items())
    ]


def match_stems(left: Sequence[str], right: Sequence[str]) -> dict[int, int]:
    """Matches names one to one: first equal ones, then those equal but for case and a mask suffix.

    Args:
        left: names.
        right: names.

    Returns:
        Index in `left` to index in `right`, for every name that found a partner.
    """
    pairs: dict[int, int] = {}
    for key in (str, _folded, _bare):
        free: dict[str, list[int]] = {}
        used = set(pairs.values())
        for index, name in enumerate(right):
            if index not in used:
                free.setdefault(key(name), []).append(index)
        for index, name in enumerate(left):
            if index not in pairs and free.get(key(name)):
                pairs[index] = free[key(name)].pop(0)
    return pairs


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """A name for each file that is unlike all others, also where case does not count.

    Args:
        paths: different files.

    Returns:
        The stem; the stem and the suffix (`a_png`) for files that share a stem; a number after it where that is not
        enough.
    """
    shared = Counter(_folded(path.stem) for path in paths)
    # Stems that need no change are taken first, so that no made-up one collides with them.
    taken = {name for name, count in shared.items() if count == 1}
    stems = []
    for path in paths:
        stem = path.stem
        if shared[_folded(stem)] > 1:
            base = f"{path.stem}_{path.suffix.lstrip('.')}" if path.suffix else path.stem
            stem, number = base, 2
            while _folded(stem) in taken:
                stem, number = f"{base}_{number}", number + 1
            taken.add(_folded(stem))
        stems.append(stem)
    return stems


def find_layout(root: Path | str) -> Layout:
    """Finds the folders of a project by their names; singular or plural, any case, `-` or a space for `_`.

    Args:
        root: the folder that holds `reference_image/`, `reference_mask/`, `target_image/`, `initial_prompts/` (or
            `initial_indices/`), `optimized_prompts/` (or `optimized_indices/`).

    Returns:
        The folders that exist.

    Raises:
        DataError: `root` does not exist or holds none of them.
    """
    folders = _subfolders(Path(root))
    layout = Layout(*(_first(folders, LAYOUT_NAMES[field.name]) for field in fields(Layout)))
    if not any(getattr(layout, field.name) for field in fields(Layout)):
        names = " ".join(f"{names[0]}/" for names in LAYOUT_NAMES.values())
        raise DataError(f"{root}: none of the expected folders is here; expected some of {names}")
    return layout


def find_classes(root: Path | str) -> list[tuple[str, list[Sample]]]:
    """Finds classes: folders that hold `images/` and `masks/`, at `root` itself or one or two levels below it.

    Args:
        root: a class, a set of classes, or a folder of sets.

    Returns:
        (name, samples with masks) of every class, in natural order. A name is the path below `root` with `/`, or the
        name of `root` where that is the class.

    Raises:
        DataError: `root` does not exist, holds no class, or a class has an image without a mask or the reverse.
    """
    root = Path(root)
    found = _classes_below(root, root.resolve().name, "", 2)
    if not found:
        raise DataError(f"{root}: no class found; expected images/ and masks/ here or in a subfolder for each class")
    return [(name, pair_masks(images, masks)) for name, images, masks in found]


def _classes_below(folder: Path, name: str, prefix: str, depth: int) -> list[tuple[str, Path, Path]]:
    """(name, images, masks) of every class at or below a folder."""
    folders = _subfolders(folder)
    images, masks = _first(folders, IMAGE_FOLDERS), _first(folders, MASK_FOLDERS)
    if images is not None and masks is not None:
        return [(name, images, masks)]
    if depth == 0:
        return []
    found = []
    for child in sorted(folders, key=natural_key):
        full_name = f"{prefix}{child.name}"
        found += _classes_below(child, full_name, f"{full_name}/", depth - 1)
    return found


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """A sort key by name in which numbers count as numbers."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def _expand(path: Path) -> list[tuple[Path, Path | None, str]]:
    """(image, mask or None, no place) of everything that one path of the user means."""
    folder = meant_folder(path)
    if folder is None:
        return [(path, None, "")]
    masks = _first(_subfolders(path), MASK_FOLDERS)
    beside = folder != path and folder == _first(_subfolders(path), IMAGE_FOLDERS)
    if beside and masks is not None and images_in(masks):
        return [(s.image_path, s.mask_path, "") for s in _with_masks(list_images(folder), list_images(masks))]
    return [(image, None, "") for image in list_images(folder)]


def meant_folder(path: Path) -> Path | None:
    """The folder whose images a user means by a path: itself, or `target_image/` or `images/` in it where it holds no
    image; None for a file.

    Raises:
        DataError: the path does not exist, or the folder cannot be read.
    """
    if path.is_file():
        return None
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")
    if images_in(path):
        return path
    folders = _subfolders(path)
    images, masks = _first(folders, IMAGE_FOLDERS), _first(folders, MASK_FOLDERS)
    if images is not None and masks is not None and images_in(masks):
        return images
    return _first(folders, LAYOUT_NAMES["target_images"]) or images or path


def _expand_tree(path: Path) -> list[tuple[Path, Path | None, str]]:
    """(image, None, its folder's place below the path) of everything at and below one path of the user."""
    folder = meant_folder(path)
    if folder is None:
        return [(path, None, "")]
    found: list[tuple[Path, Path | None, str]] = [
        (image, None, "" if part == folder else part.relative_to(folder).as_posix())
        for part in (folder, *folders_below(folder))
        for image in images_in(part)
    ]
    return found or [(image, None, "") for image in list_images(folder)]  # or what is wrong with the folder


def _placed_stems(places: dict[Path, str]) -> dict[Path, str]:
    """A unique stem for each file, with its place before it: `sub/a`."""
    groups: dict[str, list[Path]] = {}
    for path, place in places.items():
        groups.setdefault(_folded(place), []).append(path)
    return {
        path: f"{places[path]}/{stem}" if places[path] else stem
        for paths in groups.values()
        for path, stem in zip(paths, unique_stems(paths), strict=True)
    }


def _with_masks(images: list[Path], masks: list[Path]) -> list[Sample]:
    """All images, each with its mask where there is one."""
    pairs = match_stems(unique_stems(images), unique_stems(masks))
    return [Sample("", image, masks[pairs[i]] if i in pairs else None) for i, image in enumerate(images)]


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out."""
    return [entry for entry in entries(folder) if entry.is_dir()]


def entries(folder: Path) -> list[Path]:
    """What a folder holds, hidden entries left out."""
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no such folder; check the path") from error
    except NotADirectoryError as error:
        raise DataError(f"{folder}: is a file, but a folder is expected") from error
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error}); check its permissions") from error


def _first(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The folder whose name is the earliest of `names`."""
    by_name = {re.sub(r"[- ]", "_", folder.name.casefold()): folder for folder in sorted(folders, reverse=True)}
    return next((by_name[name] for name in names if name in by_name), None)


def _folded(name: str) -> str:
    """The name as a file system that ignores case and Unicode composition sees it."""
    return unicodedata.normalize("NFC", name).casefold()


def _bare(name: str) -> str:
    """The folded name without a mask suffix."""
    return MASK_SUFFIX.sub("", _folded(name))


def _some(names: Sequence[str]) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def spaced(count: int, limit: int) -> list[int]:
    """Places of at most `limit` of `count` things, evenly spaced, first and last among them."""
    return list(range(count)) if count <= limit else np.linspace(0, count - 1, limit).round().astype(int).tolist()
