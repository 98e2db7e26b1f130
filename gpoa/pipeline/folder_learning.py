"""How a segmenter learns from the other images of a folder before the first of them is segmented."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpoa.config import LEARNED
from gpoa.datasets.folder import spaced
from gpoa.datasets.pages import load_sample
from gpoa.datasets.prompt_file import PromptRecord
from gpoa.errors import GpoaError
from gpoa.features.cache import image_digest
from gpoa.pipeline.image import ImagePipeline
from gpoa.types import Sample

logger = logging.getLogger(__name__)

RecordOf = Callable[[np.ndarray, Sample], PromptRecord]
"""(image [H, W, 3] uint8 RGB, sample) -> its initial prompts."""


def encode_ahead(segmenter: ImagePipeline, images: Sequence[np.ndarray]) -> None:
    """Encodes images together where the device gains from it; the stages find them in the embedding cache."""
    together = segmenter.backbones.ahead
    for group in (images[start : start + together] for start in range(0, len(images) if together > 1 else 0, together)):
        segmenter.backbones.encode_ahead(group, [image_digest(image) for image in group])


def learn_folder(
    segmenter: ImagePipeline, samples: Sequence[Sample], record_of: RecordOf | None = None, first: float = 0.0
) -> None:
    """Teaches a segmenter the first masks of `graph.folder_images` images, evenly spaced; images that cannot be used
    are passed over (their own turn says why).

    Args:
        segmenter: fitted.
        samples: the folder.
        record_of: gives an image's initial prompts; default: the segmenter makes them.
        first: where in the list to begin, from 0 to 1. Processes that begin in different places find what the others
            have encoded in the embedding cache; what is learned is the same.
    """
    record_of = record_of or (lambda image, sample: segmenter.initial_prompts(image, sample.image_path.name))
    places = spaced(len(samples), segmenter.config.graph.folder_images)
    start, masks = int(first * len(places)), {}
    order = [samples[place] for place in [*places[start:], *places[:start]]]
    loaded = ((sample, _usable(sample, load_sample, sample, segmenter.config.reading)) for sample in order)
    images = {sample: image for sample, image in loaded if image is not None}
    if segmenter.backbones.cache.folder is not None:  # what is kept in memory belongs to the images that are read ahead
        encode_ahead(segmenter, list(images.values()))

    def first_mask(image: np.ndarray, sample: Sample) -> np.ndarray:
        return segmenter.first_mask(image, record_of(image, sample))

    for sample, image in images.items():
        mask = _usable(sample, first_mask, image, sample)
        if mask is not None:
            masks[sample] = (image, mask)
    segmenter.learn_folder([masks[sample] for sample in samples if sample in masks])


def _usable(sample: Sample, make: Callable[..., Any], *arguments: Any) -> Any:
    """What `make` returns; None where the image cannot be used."""
    try:
        return make(*arguments)
    except (GpoaError, OSError) as error:
        logger.debug("%s teaches nothing: %s", sample.image_path, error)
        return None


def learning_once(
    segmenter: ImagePipeline, samples: Sequence[Sample], record_of: RecordOf | None = None, first: float = 0.0
) -> Callable[[], None]:
    """`learn_folder` when it is first called, where the strategy asks for it."""

    @functools.cache
    def learn() -> None:
        if segmenter.strategy in LEARNED and len(samples) > 1:
            learn_folder(segmenter, samples, record_of, first)

    return learn
