"""The images to segment, and what a user should know of those that were left out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpoa.datasets.folder import (
    Paths,
    entries,
    find_samples,
    folders_below,
    images_in,
    is_image,
    is_output,
    meant_folder,
)
from gpoa.datasets.shots import say_left_out, without_references
from gpoa.types import Sample

LOOKED_INTO = 1000
"""At most this many folders are counted in: a whole disk is not searched for the sake of a note."""
NAMED = 4
"""A note names at most this many kinds of files."""


@dataclass(frozen=True, eq=False)
class Targets:
    """The images of a run.

    Args:
        samples: at least one.
        notes: one line for each kind of thing that was left out.
    """

    samples: list[Sample]
    notes: list[str] = field(default_factory=list)


def find_targets(images: Paths | Targets, recursive: bool = False, examples: Sequence[Path | str] = ()) -> Targets:
    """`find_samples`, and what was left out.

    Args:
        images: as `find_samples` takes them; targets that were found before are returned as they are.
        recursive: also take the images of all folders below a folder.
        examples: reference images and their masks, which are no targets where they lie in a targets' folder.

    Returns:
        At least one image, and notes.

    Raises:
        DataError: a path does not exist, or no image is found.
    """
    if isinstance(images, Targets):
        return images
    several = [Path(images)] if isinstance(images, (str, Path)) else [Path(entry) for entry in images]
    samples = find_samples(several, recursive)
    notes: list[str] = []
    for folder in filter(None, map(meant_folder, several)):
        notes += _unknown(folder) + ([] if recursive else _deeper(folder))
    named = [sample for sample in samples if sample.image_path in several]
    remaining, left_out = without_references([one for one in samples if one not in named], examples)
    if left_out and (remaining or named):
        notes.append(say_left_out(left_out, len(samples)))
        samples = [sample for sample in samples if sample not in left_out]
    return Targets(samples, list(dict.fromkeys(notes)))


def _unknown(folder: Path) -> list[str]:
    """The line that counts files of a kind that we do not read."""
    if is_output(folder):
        return []  # what else lies there is ours
    kinds = Counter(
        path.suffix.lower() or "no suffix" for path in entries(folder) if path.is_file() and not is_image(path)
    )
    if not kinds:
        return []
    named = [f"{kind} {count}" for kind, count in kinds.most_common(NAMED)]
    named += ["..."] if len(kinds) > NAMED else []
    count = sum(kinds.values())
    return [f"{folder}: {count} file{'s' * (count > 1)} of another kind left out ({', '.join(named)})"]


def _deeper(folder: Path) -> list[str]:
    """The line that counts the images in subfolders."""
    below = list(itertools.islice(folders_below(folder), LOOKED_INTO))
    count = sum(len(images_in(part)) for part in below)
    if not count:
        return []
    least = "at least " if len(below) == LOOKED_INTO else ""
    lie = "image lies" if count == 1 else "images lie"
    are = "is" if count == 1 else "are"
    return [f"{folder}: {least}{count} {lie} in subfolders and {are} left out; --recursive takes them"]
