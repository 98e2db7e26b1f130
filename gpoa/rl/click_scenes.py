"""Labelled images to click on: embedding, prior map from one reference of the class, and truth, cached on disk.

    classes --first image of each is the reference--> ClickScene of every other image
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from gpoa.config import digest
from gpoa.datasets.classes import LabelledClass
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.envs.click_episode import ClickEpisode, prior_frame
from gpoa.envs.click_scene import ClickScene
from gpoa.errors import GpoaError
from gpoa.features.cache import Arrays, image_digest
from gpoa.models.store import find_prior
from gpoa.pipeline.image import ImagePipeline
from gpoa.types import Sample

logger = logging.getLogger(__name__)


def load_scenes(pipeline: ImagePipeline, classes: Sequence[LabelledClass]) -> Iterator[ClickScene]:
    """Loads the images of classes; embeddings and prior maps come from the pipeline's cache where it has them.

    Args:
        pipeline: the models, and the prior's settings; it is fitted anew for each class.
        classes: the first image of each is the reference, the others are the scenes.

    Yields:
        A scene an image; one that cannot be read, or whose mask is empty, is reported and passed over.
    """
    for one in classes:
        try:
            reference = _load(one.samples[0])
        except GpoaError as error:
            logger.warning("%s: no reference (%s)", one.name, error)
            continue
        scenes = ClassScenes(pipeline, one.name, *reference)
        for sample in one.samples[1:]:
            try:
                image, truth = _load(sample)
                if not truth.any():
                    raise GpoaError("its mask is empty")
                yield scenes.scene(image, truth)
            except GpoaError as error:
                logger.warning("%s: passed over (%s)", sample.image_path, error)


class ClassScenes:
    """Scenes of one class; the reference is fitted only where a prior map is not cached.

    Args:
        pipeline: the models and settings.
        name: the class.
        image: [H, W, 3] uint8 RGB of the reference.
        mask: [H, W] bool of the reference.
    """

    def __init__(self, pipeline: ImagePipeline, name: str, image: np.ndarray, mask: np.ndarray) -> None:
        self.pipeline, self.name, self.image, self.mask = pipeline, name, image, mask
        self._fitted = False
        parts = [image_digest(image), image_digest(mask[..., None]), pipeline.backbones.ids, pipeline.config.matching]
        file = digest(find_prior(pipeline.config.matching.prior).read_bytes().hex())
        self._key = f"click-prior-{digest(*parts, file)}"

    def scene(self, image: np.ndarray, truth: np.ndarray) -> ClickScene:
        """The scene of one image [H, W, 3] with its true mask [H, W] bool."""
        key = image_digest(image)
        arrays = self.pipeline.backbones.cache.get_or_compute(key, self._key, lambda: self._prior_map(image))
        prior = prior_frame(arrays["probability"].astype(np.float32), (image.shape[0], image.shape[1]))
        return ClickScene(self.name, image, self.pipeline.backbones.embedding(image, key), prior, truth)

    def _prior_map(self, image: np.ndarray) -> Arrays:
        """What the reference says of an image, over the whole of it."""
        if not self._fitted:
            self.pipeline.fit(self.image, self.mask)
            self._fitted = True
        detail = self.pipeline.prompter.score_map(image).detail
        assert detail is not None  # the method is the prior
        return {"probability": (1 / (1 + np.exp(-detail))).astype(np.float32)}


def open_scene(pipeline: ImagePipeline, scene: ClickScene, prior: bool = True, feed_back: bool = True) -> ClickEpisode:
    """A scene to click on: what goes in is the embedding and, where it is wanted, the prior map, never the truth."""
    return ClickEpisode(
        pipeline.backbones.segmenter, scene.embedding, scene.prior if prior else None, feed_back=feed_back
    )


def _load(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask."""
    image = load_image(sample.image_path)
    return image, load_mask(sample.known_mask, (image.shape[0], image.shape[1]), allow_empty=True)
