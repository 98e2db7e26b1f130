"""GPOA's release as this repository models it: forward nearest-neighbour matches as points, and its optimiser's end.

For every reference patch the most similar target patch is marked, positive from the mask, negative from the
background; patches marked with both are dropped (`gpoa.matching.nearest`). All remaining points are one prompt. The
released optimiser ends with a random subset, between 5 and 20 points of each label; `GpoaRelease` draws one and keeps
it, where `run_random` of `gpoa.search.strategies` has a judge choose among several.

Ours: the frozen models, which all methods share; one seed for every image; and SAM's own estimate of the IoU as the
confidence.
"""

from __future__ import annotations

import numpy as np

from gpoa.baselines.base import Answer, FrozenModels, full_mask
from gpoa.datasets.shots import load_shot
from gpoa.errors import DataError
from gpoa.geometry import patch_centers_original
from gpoa.matching.nearest import forward_matches
from gpoa.matching.reference import Reference, make_reference
from gpoa.search.strategies import RELEASE_CAP, keep_points
from gpoa.types import ImageEmbedding, PointPrompts


class GpoaInitial:
    """All matched points in one call of SAM.

    Args:
        models: with tokens of the last layer (`features_config("plain", ...)`).
        seed: unused; nothing is random.
    """

    def __init__(self, models: FrozenModels, seed: int = 0) -> None:
        self.models = models
        self._reference: Reference | None = None

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Labels the reference's patches."""
        pixels, label = load_shot(image, mask)
        self._reference = make_reference([(self.models.features(pixels), label)])

    def prompts(self, image: np.ndarray) -> PointPrompts:
        """The matched points of another image [H, W, 3] uint8 RGB, positives first.

        Raises:
            DataError: `fit` was not called.
        """
        if self._reference is None:
            raise DataError("no reference yet: call fit(image, mask) first")
        features = self.models.features(image)
        matches = forward_matches(self._reference, features.tokens)
        index = np.concatenate([matches.positive, matches.negative])
        labels = np.repeat([1, 0], [len(matches.positive), len(matches.negative)]).astype(np.int64)
        return PointPrompts(patch_centers_original(features)[index].round(3), labels)

    def predict(self, image: np.ndarray) -> Answer:
        """Asks SAM with all points."""
        return ask(self.models, self.models.embedding(image), self.prompts(image))


class GpoaRelease:
    """The random subset that the released optimiser ends with; `start` is the mask of all points.

    Args:
        models: with tokens of the last layer.
        seed: decides the subset, together with the number of points; the order of the images does not.
    """

    def __init__(self, models: FrozenModels, seed: int = 0) -> None:
        self.initial, self.seed = GpoaInitial(models, seed), seed

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """As `GpoaInitial.fit`."""
        self.initial.fit(image, mask)

    def predict(self, image: np.ndarray) -> Answer:
        """Asks SAM with the subset."""
        models, prompts = self.initial.models, self.initial.prompts(image)
        embedding = models.embedding(image)
        start = ask(models, embedding, prompts)
        answer = ask(models, embedding, capped(prompts, np.random.default_rng(self.seed)))
        return Answer(answer.mask, answer.confidence, answer.prompts, start.mask)


def capped(prompts: PointPrompts, rng: np.random.Generator) -> PointPrompts:
    """A random number of random points a label, between 5 and 20 (all, where there are fewer than 5).

    Args:
        prompts: the points to draw from.
        rng: source of both choices.

    Returns:
        The drawn points in their old order.
    """
    low, high = RELEASE_CAP
    drawn = []
    for label in (1, 0):
        members = np.flatnonzero(prompts.point_labels == label)
        count = int(rng.integers(min(low, len(members)), min(high, len(members)) + 1))
        drawn.append(rng.choice(members, count, replace=False))
    return keep_points(prompts, np.sort(np.concatenate(drawn)))


def ask(models: FrozenModels, embedding: ImageEmbedding, prompts: PointPrompts) -> Answer:
    """SAM's single mask for a prompt set; an empty mask where there is no positive point.

    Args:
        models: holds the segmenter.
        embedding: of the image.
        prompts: the set.

    Returns:
        The answer; its confidence is SAM's own estimate of the IoU.
    """
    if prompts.is_empty:
        return Answer(np.zeros(embedding.original_size, dtype=bool), 0.0, prompts)
    prediction = models.segmenter.decode(embedding, [prompts])
    mask = full_mask(prediction.low_res_logits[0, 0], embedding)
    return Answer(mask, float(np.clip(prediction.iou_predictions[0, 0], 0, 1)), prompts)
