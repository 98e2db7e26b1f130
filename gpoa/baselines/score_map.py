"""Our score map without SAM: thresholded as it is, and refined along the image's edges.

Both show what SAM adds to the matching. They take our own features, ridge matcher, threshold and presence check with
the defaults of `GpoaConfig`; the plain mask is the map's logits brought to the image by linear interpolation, cut at
0.

The refinement is a random walker (Grady, IEEE Trans. PAMI 28, 2006): what the map is sure of becomes the seeds, and
the uncertain rest goes to the seeds that a random walker, who avoids edges of the image, reaches first. How seeds
come from a map is ours. A dense CRF would be the other usual choice, but we found no kept package for it:
`pydensecrf` dates from 2018, its fork `pydensecrf2` from 2024 (pip found no wheel for Python 3.11 on Linux),
`SimpleCRF` from 2021 and `crfseg` from 2020.
"""

from __future__ import annotations

import numpy as np

from gpoa.baselines.base import Answer, FrozenModels
from gpoa.baselines.classical import load_skimage
from gpoa.config import GpoaConfig
from gpoa.datasets.shots import load_shot
from gpoa.errors import DataError
from gpoa.geometry import resample
from gpoa.matching.classifier import Matcher, fit_matcher
from gpoa.matching.presence import presence
from gpoa.matching.reference import Reference, make_reference
from gpoa.matching.threshold import reference_threshold, to_score_map
from gpoa.types import ScoreMap, Size

WALKER_SIDE = 256
"""The walker runs on the image with its longest side at most this long, in pixels."""
SEED_LEVEL = 0.5
"""Pixels whose logit is at least this far from 0 are seeds, in standard deviations of the map. On 15 training classes
of the benchmark 0.3 and 0.5 were alike, 0.75 and 1 worse."""
BETA = 130.0
"""How much the walker avoids edges; scikit-image's default."""


class ScoreMapMask:
    """The thresholded score map, without SAM.

    Args:
        models: with our own features (`features_config("ours", ...)`).
        seed: unused; nothing is random.
    """

    def __init__(self, models: FrozenModels, seed: int = 0) -> None:
        self.models, self.config = models, GpoaConfig()
        self._fitted: tuple[Reference, Matcher, float] | None = None

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Fits the ridge matcher and its threshold to the reference."""
        pixels, label = load_shot(image, mask)
        reference = make_reference([(self.models.features(pixels), label)])
        matcher = fit_matcher(self.config.matching, reference)
        self._fitted = reference, matcher, reference_threshold(matcher(reference.tokens), reference.labels)

    def score(self, image: np.ndarray) -> tuple[ScoreMap, float]:
        """The target's score map, and how similar its best patches are to the object (`presence`).

        Raises:
            DataError: `fit` was not called.
        """
        if self._fitted is None:
            raise DataError("no reference yet: call fit(image, mask) first")
        reference, matcher, threshold = self._fitted
        features = self.models.features(image)
        values = matcher(features.tokens)
        score_map = to_score_map(values, features.grid_size, self.config.threshold, threshold)
        return score_map, presence(reference, features.tokens)

    def predict(self, image: np.ndarray) -> Answer:
        """Thresholds the map; the confidence is the similarity of the best patches."""
        score_map, similarity = self.score(image)
        size = (image.shape[0], image.shape[1])
        present = similarity >= self.config.threshold.presence
        mask = plain_mask(score_map, size) if present else np.zeros(size, dtype=bool)
        return Answer(mask, _unit_interval(similarity))


class WalkerMask:
    """The score map refined by a random walker.

    Args:
        models: with our own features.
        seed: unused; nothing is random.
    """

    def __init__(self, models: FrozenModels, seed: int = 0) -> None:
        self.coarse = ScoreMapMask(models, seed)

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """As `ScoreMapMask.fit`."""
        self.coarse.fit(image, mask)

    def predict(self, image: np.ndarray) -> Answer:
        """Refines the map; `start` is the plain mask."""
        score_map, similarity = self.coarse.score(image)
        size = (image.shape[0], image.shape[1])
        confidence = _unit_interval(similarity)
        if similarity < self.coarse.config.threshold.presence:
            return Answer(np.zeros(size, dtype=bool), confidence)
        return Answer(walker_mask(image, score_map), confidence, start=plain_mask(score_map, size))


def plain_mask(score_map: ScoreMap, size: Size) -> np.ndarray:
    """The part of an image where the interpolated map is above its threshold.

    Args:
        score_map: the image's scores.
        size: (H, W) of the image.

    Returns:
        [H, W] bool.
    """
    return resample(score_map.logits, size) > 0


def walker_mask(image: np.ndarray, score_map: ScoreMap) -> np.ndarray:
    """Moves the border of a map's mask to edges of the image.

    Args:
        image: [H, W, 3] uint8 RGB.
        score_map: its scores.

    Returns:
        [H, W] bool; the plain mask where the image is constant, or the map has only one side.
    """
    size = (image.shape[0], image.shape[1])
    small = _shrink(image)
    labels = seeds(resample(score_map.logits, (small.shape[0], small.shape[1])))
    if labels is None or np.ptp(small.reshape(-1, 3), axis=0).max() < 1e-6:
        return plain_mask(score_map, size)
    share = labels == 2
    if not labels.all():
        walker = load_skimage("skimage.segmentation").random_walker
        # Solved directly: where neighbours differ much, conjugate gradients end early or take a minute.
        share = walker(small, labels, beta=BETA, mode="bf", return_full_prob=True, channel_axis=-1)[1]
    return resample(share, size) > 0.5


def seeds(logits: np.ndarray) -> np.ndarray | None:
    """What a map is sure of.

    Args:
        logits: [h, w] float32, positive where foreground.

    Returns:
        [h, w] int32: 1 background, 2 foreground, 0 uncertain. A side that never reaches the seed level takes half of
        its own extreme for it, so that a tiny object has seeds, too. None where a side is missing.
    """
    high, low = float(logits.max()), float(logits.min())
    if high <= 0 or low >= 0:
        return None
    labels = np.zeros(logits.shape, dtype=np.int32)
    labels[-logits >= (SEED_LEVEL if -low >= SEED_LEVEL else -low / 2)] = 1
    labels[logits >= (SEED_LEVEL if high >= SEED_LEVEL else high / 2)] = 2
    return labels


def _shrink(image: np.ndarray) -> np.ndarray:
    """[h, w, 3] float32 in [0, 1]: the image, its longest side at most `WALKER_SIDE`."""
    height, width = image.shape[:2]
    scale = min(1.0, WALKER_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return np.stack([resample(image[..., channel] / np.float32(255), size) for channel in range(3)], axis=-1)


def _unit_interval(value: float) -> float:
    return min(max(value, 0.0), 1.0)
