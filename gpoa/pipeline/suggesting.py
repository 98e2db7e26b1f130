"""Which images of a folder to label: those that stand for it best, before anything is labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpoa.datasets.folder import spaced
from gpoa.datasets.pages import load_sample
from gpoa.errors import DataError, GpoaError
from gpoa.matching.coverage import affinities, choose_covering, gist_of
from gpoa.pipeline.backbones import Backbones
from gpoa.pipeline.outputs import save_picture
from gpoa.types import Sample
from gpoa.viewer.overlays import Tile, contact_sheet, draw_overlay

LOOKED_AT = 400
"""At most this many images of a folder are compared, evenly spaced."""


@dataclass(frozen=True, eq=False)
class Suggestions:
    """Images to label.

    Args:
        samples: most useful first.
        coverage: how well the images up to each cover the folder, 0 to 1.
        failed: a line for each image that could not be read.
        seen: how many images were compared.
    """

    samples: list[Sample]
    coverage: list[float]
    failed: list[str] = field(default_factory=list)
    seen: int = 0


def suggest(
    backbones: Backbones,
    samples: Sequence[Sample],
    count: int = 3,
    given: Sequence[Path] = (),
    tell: Callable[[], object] = lambda: None,
) -> Suggestions:
    """Chooses the images that stand for a folder best; see `gpoa.matching.coverage`.

    Args:
        backbones: the feature model is used, the segmenter is not.
        samples: the folder.
        count: how many images to choose.
        given: images among them that are labelled already.
        tell: called after each image.

    Raises:
        DataError: no image can be read.
    """
    labelled = {path.resolve() for path in given}
    places = spaced(len(samples), LOOKED_AT)
    looked = [samples[place] for place in places]
    looked += [one for one in samples if one.image_path.resolve() in labelled and one not in looked]
    rng, gists, kept, failed = np.random.default_rng(0), [], [], []
    for sample in looked:
        try:
            image = load_sample(sample, backbones.config.reading)
            gists.append(gist_of(backbones.features(image).tokens, rng))
            kept.append(sample)
        except GpoaError as error:
            failed.append(f"{sample.stem}: {error}")
        tell()
    if not kept:
        raise DataError(f"none of the {len(looked)} images can be read; the first: {failed[0]}")
    have = [place for place, sample in enumerate(kept) if sample.image_path.resolve() in labelled]
    chosen = choose_covering(affinities(gists), count, have)
    return Suggestions([kept[one.place] for one in chosen], [one.coverage for one in chosen], failed, len(kept))


def write_sheet(path: Path, suggestions: Suggestions, backbones: Backbones) -> None:
    """Draws the suggested images on one sheet.

    Raises:
        DataError: it cannot be written.
    """
    tiles = []
    for place, sample in enumerate(suggestions.samples, start=1):
        picture = draw_overlay(load_sample(sample, backbones.config.reading))
        tiles.append(Tile(picture, f"{place}. {sample.image_path.name}   {suggestions.coverage[place - 1]:.3f}"))
    save_picture(contact_sheet(tiles, columns=min(4, len(tiles))), path)
