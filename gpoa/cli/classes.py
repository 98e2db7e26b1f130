"""The flags of `gpoa run` for several classes: from references, masks and names to the examples of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    import numpy as np

    from gpoa.config import ReadingConfig
    from gpoa.datasets.options import MaskOptions


@dataclass(frozen=True)
class ClassArgs:
    """Several classes in one run."""

    of_reference: Annotated[tuple[str, ...], tyro.conf.arg(name="class")] = ()
    """Class of each reference (cat dog): several classes in one run, one label image for each target."""
    class_names: tuple[str, ...] = ()
    """Classes of label images or annotation files as masks: number=name (1=cat 2=dog)."""

    @property
    def given(self) -> bool:
        """Whether there are classes."""
        return bool(self.of_reference or self.class_names)


def class_shots(
    given: ClassArgs, references: Sequence[Path], masks: Sequence[Path], options: MaskOptions, reading: ReadingConfig
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """The labelled examples of each class.

    Args:
        given: the flags.
        references: image files.
        masks: as many masks.
        options: what the object is in each mask, with `--class`.
        reading: how images are read.

    Returns:
        Name -> (image [H, W, 3] uint8, mask [H, W] bool), in the order in which the classes are named.

    Raises:
        ConfigError: the flags contradict each other, or a class has no example.
        GpoaError: a file cannot be used.
    """
    from gpoa.datasets.shots import load_shot, zip_shots
    from gpoa.errors import ConfigError

    if given.of_reference and given.class_names:
        raise ConfigError("--class and --class-names: give one of them; the second is for masks of several classes")
    pairs = zip_shots(list(references), list(masks))
    if given.class_names:
        return _of_label_images(given.class_names, pairs, reading)
    if len(given.of_reference) != len(pairs):
        raise ConfigError(f"--class names {len(given.of_reference)} classes, but there are {len(pairs)} references")
    shots: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, (image, mask) in zip(given.of_reference, pairs, strict=True):
        shots.setdefault(name, []).append(load_shot(image, mask, options, reading))
    return shots


def _of_label_images(
    names: Sequence[str], pairs: Sequence[tuple], reading: ReadingConfig
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """The examples of each class in masks of several classes; a reference without a class is none of its examples."""
    from gpoa.datasets.importers.reading import is_annotation
    from gpoa.datasets.options import MaskOptions
    from gpoa.datasets.shots import load_shot
    from gpoa.errors import ConfigError, MaskError

    shots: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for entry in names:
        key, _, name = entry.partition("=")
        if not key or not name or name in shots:
            raise ConfigError(f"--class-names {entry}: expected number=name, such as 1=cat, each name once")
        shots[name], why = [], ""
        for image, mask in pairs:
            try:
                by_name = is_annotation(Path(mask))
                options = MaskOptions(label_name=key) if by_name else MaskOptions(label=int(key))
                shots[name].append(load_shot(image, mask, options, reading))
            except ValueError:
                raise ConfigError(f"--class-names {entry}: {key} is no number of a label image") from None
            except MaskError as error:
                why = str(error)
        if not shots[name]:
            raise ConfigError(f"--class-names {entry}: no reference has this class ({why})")
    return shots
