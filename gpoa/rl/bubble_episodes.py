"""Bubble episodes out of labelled classes, for the agents of Stable-Baselines3.

An episode is a pair of images of one class: the reference with its mask, and a target whose ground truth gives the
reward and is never part of an observation. Embeddings come from the cache; opened episodes stay in memory, about 8 MB
each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gpoa.config import GpoaConfig, Sb3Config
from gpoa.datasets.bubble_layout import initial_points
from gpoa.datasets.classes import LabelledClass
from gpoa.datasets.folder import spaced
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.envs.bubble_episode import BubbleEpisode
from gpoa.envs.rewards import make_compare
from gpoa.errors import DataError, GpoaError
from gpoa.pipeline.bubble import open_bubble
from gpoa.pipeline.image import ImagePipeline
from gpoa.types import Sample

logger = logging.getLogger(__name__)


class BubblePair(NamedTuple):
    """One episode to be.

    Args:
        name: the class.
        reference: a labelled image.
        target: another one.
    """

    name: str
    reference: Sample
    target: Sample


def draw_pairs(classes: Sequence[LabelledClass], count: int, seed: int) -> list[BubblePair]:
    """Random pairs of each class, a reference serving as many targets as it can.

    Args:
        classes: to train on.
        count: pairs of a class.
        seed: of the draw.
    """
    rng, pairs = np.random.default_rng(seed), []
    for one in classes:
        order = rng.permutation(len(one.samples))
        every = [(int(a), int(b)) for a in order for b in order if a != b]
        pairs += [BubblePair(one.name, one.samples[a], one.samples[b]) for a, b in every[:count]]
    return pairs


def validation_pairs(classes: Sequence[LabelledClass], count: int) -> list[BubblePair]:
    """About `count` pairs, the same number of each class: its first image is the reference, targets evenly spaced."""
    each, pairs = max(1, count // max(len(classes), 1)), []
    for one in classes:
        targets = one.samples[1:]
        pairs += [BubblePair(one.name, one.samples[0], targets[place]) for place in spaced(len(targets), each)]
    return pairs


def without_guard(config: GpoaConfig) -> GpoaConfig:
    """The config without the presence check, which is the user's guard and no part of an episode."""
    return replace(config, threshold=replace(config.threshold, presence=-1.0))


class BubbleEpisodes:
    """Opens pairs and draws among them.

    Args:
        pipeline: its reference changes from pair to pair; made with `without_guard`.
        pairs: what to open.
        config: horizon and reward.
    """

    def __init__(self, pipeline: ImagePipeline, pairs: Sequence[BubblePair], config: Sb3Config) -> None:
        self.pipeline, self.pairs, self.config = pipeline, list(pairs), config
        self.by_class: dict[str, list[BubbleEpisode]] = {}
        self._reference: Sample | None = None
        self._turn = 0

    def open(self) -> Iterator[BubblePair]:
        """Opens every pair; yields after each. Pairs whose object is not found, or whose files cannot be used, are left
        out.

        Raises:
            DataError: none can be used.
        """
        for pair in self.pairs:
            try:
                episode = self._open(pair)
            except GpoaError as error:
                logger.warning("%s is left out: %s", pair.target.image_path, error)
                episode = self._reference = None
            if episode is not None:
                self.by_class.setdefault(pair.name, []).append(episode)
            yield pair
        if not self.by_class:
            raise DataError("no usable pair found; are the masks right, and is the object in the images?")

    def draw(self, rng: np.random.Generator) -> BubbleEpisode:
        """A random episode of a random class."""
        names = list(self.by_class)
        own = self.by_class[names[int(rng.integers(len(names)))]]
        return own[int(rng.integers(len(own)))]

    def next(self, rng: np.random.Generator) -> BubbleEpisode:
        """One episode after another, for evaluations that always see the same ones; nothing is drawn."""
        every = self.every()
        self._turn += 1
        return every[(self._turn - 1) % len(every)]

    def every(self) -> list[BubbleEpisode]:
        """All episodes, class by class."""
        return [episode for own in self.by_class.values() for episode in own]

    def _open(self, pair: BubblePair) -> BubbleEpisode | None:
        """One episode; None where nothing looks like the object."""
        pipeline = self.pipeline
        if self._reference is not pair.reference:
            shot = load_image(pair.reference.image_path)
            pipeline.fit([shot], [load_mask(pair.reference.known_mask, (shot.shape[0], shot.shape[1]))])
            self._reference = pair.reference
        image = load_image(pair.target.image_path)
        size = (image.shape[0], image.shape[1])
        record = pipeline.initial_prompts(image, pair.target.stem)
        score_map = record.score_map
        if record.prompts.is_empty or score_map is None:
            return None
        given = initial_points(pair.target, size)
        if given is not None:
            record = replace(record, prompts=replace(record.prompts, point_coords=given.xy, point_labels=given.labels))
        truth = load_mask(pair.target.known_mask, size, allow_empty=True)
        compare = make_compare("iou" if self.config.reward == "expected" else self.config.reward, truth)
        return open_bubble(pipeline.backbones, image, record, score_map, self.config.horizon, compare)
