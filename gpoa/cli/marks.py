"""The flags that point at the object, for verbs that take a reference, and the mask that is made of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from gpoa.config import GpoaConfig
    from gpoa.features.cache import EmbeddingCache
    from gpoa.types import Marks

FOLDER = "reference_masks"
"""Where, below the output folder, a mask that was made of points or boxes is written."""


@dataclass(frozen=True)
class MarkArgs:
    """Where the object is in the reference image, in place of --mask."""

    points: tuple[str, ...] = ()
    """Points on the object, x,y in pixels (120,80 300,200), in place of --mask."""
    not_points: Annotated[tuple[str, ...], tyro.conf.arg(name="not")] = ()
    """Points that are not the object."""
    box: tuple[str, ...] = ()
    """Boxes around the object, x0,y0,x1,y1 in pixels, one for each of several objects, in place of --mask."""
    not_box: tuple[str, ...] = ()
    """Boxes that the mask leaves out."""

    def marks(self) -> Marks | None:
        """What was given, or None.

        Raises:
            GpoaError: a value is no point or no box.
        """
        from gpoa.segmenters.marks import make_marks

        return make_marks(
            _numbers("points", self.points, 2),
            _numbers("not", self.not_points, 2),
            _numbers("box", self.box, 4),
            _numbers("not-box", self.not_box, 4),
        )


def reference_masks(
    references: Sequence[Path], masks: Sequence[Path], given: MarkArgs, models: tuple[GpoaConfig, EmbeddingCache],
    output: Path,
) -> tuple[Path, ...]:
    """The masks of the references: those that were given, or one made of points and boxes.

    Args:
        references: image files.
        masks: their masks, or none.
        given: points and boxes, or none.
        models: the config and the embedding cache, for the segmenter.
        output: receives `reference_masks/<stem>.png` where one is made.

    Raises:
        ConfigError: neither or both are given, or marks for several images.
        GpoaError: a mark lies outside the image, the mask is empty, or a file cannot be used.
    """
    from gpoa.errors import ConfigError

    marks = given.marks()
    if marks is None and not masks:
        raise ConfigError("--mask is missing; or point at the object: --points x,y or --box x0,y0,x1,y1")
    if marks is None:
        return tuple(masks)
    if masks:
        raise ConfigError("--mask and --points or --box: give one of them, each says alone what the object is")
    if len(references) != 1:
        raise ConfigError(f"--points and --box are for one reference image, but {len(references)} are given")
    return (_write_marked(references[0], marks, models, output / FOLDER),)


def _write_marked(reference: Path, marks: Marks, models: tuple[GpoaConfig, EmbeddingCache], folder: Path) -> Path:
    """Makes the mask of a reference's marks and writes it."""
    from gpoa.datasets.mask_io import save_mask
    from gpoa.datasets.shots import to_pixels
    from gpoa.errors import PromptError
    from gpoa.pipeline.backbones import Backbones
    from gpoa.segmenters.marks import mask_of_marks, refuse_marks_outside

    image = to_pixels(reference, models[0].reading)
    try:
        refuse_marks_outside(marks, (image.shape[0], image.shape[1]))  # before the models are loaded
        backbones = Backbones(*models)
        mask = mask_of_marks(backbones.segmenter, backbones.embedding(image), marks)
    except PromptError as error:
        raise PromptError(f"{reference}: {error}") from error
    path = folder / f"{reference.stem}.png"
    save_mask(path, mask)
    print(f"reference mask made of the marks: {path}", file=sys.stderr)
    return path


def _numbers(flag: str, values: Sequence[str], count: int) -> list[list[float]]:
    """`120,80` as numbers."""
    from gpoa.errors import ConfigError

    rows = []
    for value in values:
        try:
            rows.append([float(part) for part in value.split(",")])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != count:
            form = "x,y" if count == 2 else "x0,y0,x1,y1"
            raise ConfigError(f"--{flag} {value}: expected {form} in pixels, without spaces between")
    return rows
