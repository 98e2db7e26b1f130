"""The relational maps that the prior's network reads.

No feature channel is among them: cosines, regression outputs and distances between the target and the reference only,
so that one network serves classes and backbones that it never saw. What depends on the reference alone is computed
once.

Legend: `P` target patches, `R` reference patches, `D` feature width; COARSE 32, MIDDLE 64, FINE 256 cells a side, every
grid covering the whole image.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpoa.geometry import area_mean, resample
from gpoa.matching.classifier import Matcher, fit_ridge, fit_ridges, margin, soft_share
from gpoa.matching.prior.pixels import PixelClassifier, filter_responses, fit_pixels, normalised, to_square
from gpoa.matching.reference import Reference
from gpoa.matching.threshold import otsu_threshold, reference_threshold
from gpoa.types import PatchFeatures, Size

COARSE, MIDDLE, FINE = 32, 64, 256
PENALTIES = (5.0, 30.0, 200.0)
LAYER_PENALTY, SEGMENTER_PENALTY = 15.0, 10.0
AFFINITY_TEMPERATURE, LOCAL_TEMPERATURE = 0.07, 0.05
NEIGHBOUR_SIGMA = 4.0
"""Spread of the spatial term of the affinities, in coarse cells."""
OTSU_SHARE = 0.75
LIMIT = 6.0
COARSE_MAPS = (
    "ridge_5",
    "ridge_30",
    "ridge_200",
    "ridge_first_layer",
    "ridge_last_layer",
    "margin_1",
    "margin_5",
    "soft_knn_05",
    "soft_knn_10",
    "ridge_30_raw",
    "foreground_mean",
    "background_mean",
    "best_foreground",
    "best_background",
    "ridge_averaged",
    "ridge_averaged_twice",
    "ridge_averaged_near",
    "typical",
    "repeated",
    "segmenter_ridge",
    "reference_area",
    "threshold_gap",
    "spread",
    "best_match",
)
MIDDLE_MAPS = ("segmenter_ridge", "segmenter_foreground", "segmenter_background", "ridge_averaged", "edge")
FINE_MAPS = ("pixels_normalised", "pixels_absolute")


@dataclass(frozen=True, eq=False, slots=True)
class PriorMaps:
    """What the network sees of one target.

    Args:
        coarse: [len(COARSE_MAPS), 32, 32] float32.
        middle: [len(MIDDLE_MAPS), 64, 64] float32; zeros where the segmenter's embedding is not known.
        fine: [len(FINE_MAPS), 256, 256] float32.
        rgb: [3, 256, 256] uint8.
    """

    coarse: np.ndarray
    middle: np.ndarray
    fine: np.ndarray
    rgb: np.ndarray


class PriorReference:
    """The labelled side, fitted once.

    Args:
        reference: labelled patches of the feature model over all shots.
        layers: how many layers' tokens are joined in a token (equal parts).
        segmenter: labelled cells of the segmenter's embedding at 64 x 64 a shot, or None.
        squares: [256, 256, 3] uint8 of each shot (`pixels.to_square`).
        masks: [256, 256] float32 in [0, 1] of each shot.
    """

    def __init__(
        self,
        reference: Reference,
        layers: int,
        segmenter: Reference | None,
        squares: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
    ) -> None:
        self.reference, self.layers, self.segmenter = reference, layers, segmenter
        labels = reference.labels
        self.area = float(np.mean([mask.mean() for mask in masks]))
        first, last = self._halves(reference.tokens)
        self._scored = [
            *(_with_threshold(one, reference.tokens, labels) for one in fit_ridges(reference, PENALTIES)),
            _with_threshold(fit_ridge(Reference(first, reference.foreground), LAYER_PENALTY), first, labels),
            _with_threshold(fit_ridge(Reference(last, reference.foreground), LAYER_PENALTY), last, labels),
        ]
        self._means = [_unit(reference.tokens[labels].mean(axis=0)), _unit(reference.tokens[~labels].mean(axis=0))]
        if segmenter is not None:
            own = segmenter.labels
            matcher = fit_ridge(segmenter, SEGMENTER_PENALTY)
            self._segmenter = _with_threshold(matcher, segmenter.tokens, own)
            self._segmenter_means = [_unit(segmenter.tokens[own].mean(0)), _unit(segmenter.tokens[~own].mean(0))]
        responses = [filter_responses(square) for square in squares]
        self._pixels = [
            _pixels_with_threshold([normalised(one) for one in responses], masks),
            _pixels_with_threshold(responses, masks),
        ]

    def maps(self, features: PatchFeatures, cells: np.ndarray | None, image: np.ndarray) -> PriorMaps:
        """The maps of one target.

        Args:
            features: the target's patch tokens.
            cells: [4096, C] float32 the segmenter's embedding on 64 x 64 cells, unit length, or None.
            image: [H, W, 3] uint8 RGB.
        """
        square = to_square(image)
        middle = np.zeros((len(MIDDLE_MAPS), MIDDLE, MIDDLE), dtype=np.float32)
        coarse, ridge = self._coarse(features)
        if cells is not None and self.segmenter is not None:
            middle = self._middle(cells, ridge)
            coarse[COARSE_MAPS.index("segmenter_ridge")] = area_mean(middle[0], (COARSE, COARSE))
        return PriorMaps(coarse, middle, self._fine(square), np.ascontiguousarray(square.transpose(2, 0, 1)))

    def _halves(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of the first and of the last joined layer, unit length."""
        width = tokens.shape[1] // self.layers
        return _unit_rows(tokens[:, :width]), _unit_rows(tokens[:, -width:])

    def _coarse(self, features: PatchFeatures) -> tuple[np.ndarray, np.ndarray]:
        """([maps, 32, 32], the standardised ridge map [rows, columns] on the patch grid)."""
        tokens, grid_size = features.tokens, features.grid_size
        first, last = self._halves(tokens)
        inputs = (tokens, tokens, tokens, first, last)
        raw = [matcher(one) for (matcher, _), one in zip(self._scored, inputs, strict=True)]
        parts = [_standardised(values, own) for values, (_, own) in zip(raw, self._scored, strict=True)]
        to_reference = tokens @ self.reference.tokens.T  # [P, R]
        labels = self.reference.labels
        parts += [
            _standardised(values, 0.0)
            for values in (margin(to_reference, labels, 1), margin(to_reference, labels, 5))
        ]
        parts += [4 * soft_share(to_reference, self.reference.foreground, t) - 2 for t in (0.05, 0.1)]
        parts.append(2 * raw[1])
        best = [to_reference[:, labels].max(axis=1), to_reference[:, ~labels].max(axis=1)]
        parts += [4 * (tokens @ mean - 0.3) for mean in self._means]
        parts += [4 * (values - 0.5) for values in best]
        parts += self._averaged(tokens, parts[1], grid_size)
        strongest = np.partition(best[0], -max(1, len(best[0]) // 64))[-max(1, len(best[0]) // 64) :].mean()
        own = self._scored[1][1]
        facts = (
            0.0,
            2 * np.log10(self.area + 1e-4) + 2,
            otsu_threshold(raw[1]) - own,
            4 * raw[1].std() - 1,
            4 * strongest - 2,
        )
        parts += [np.full(len(tokens), fact, dtype=np.float32) for fact in facts]
        stacked = np.stack(parts).reshape(len(parts), *grid_size).astype(np.float32)
        ridge = stacked[1]
        if grid_size != (COARSE, COARSE):
            stacked = np.stack([resample(one, (COARSE, COARSE)) for one in stacked])
        return np.clip(stacked, -LIMIT, LIMIT), ridge

    def _averaged(self, tokens: np.ndarray, ridge: np.ndarray, grid_size: Size) -> list[np.ndarray]:
        """The ridge map averaged along the target's own affinities, and how typical and how repeated patches are."""
        alike = tokens @ tokens.T  # [P, P]
        weights = np.exp((alike - 1) / AFFINITY_TEMPERATURE)
        once = weights @ ridge / weights.sum(axis=1)
        twice = weights @ once / weights.sum(axis=1)
        near = weights * _nearness(grid_size)
        averaged = near @ ridge / near.sum(axis=1)
        typical = tokens @ _unit(tokens.mean(axis=0))
        repeated = np.log(weights.mean(axis=1) + 1e-6)
        return [once, twice, averaged, 4 * (typical - 0.4), (repeated + 7) / 2]

    def _middle(self, cells: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        """[maps, 64, 64] of the segmenter's embedding."""
        matcher, own = self._segmenter
        score = _standardised(matcher(cells), own).reshape(MIDDLE, MIDDLE)
        means = [4 * (cells @ mean - 0.5).reshape(MIDDLE, MIDDLE) for mean in self._segmenter_means]
        grid = cells.reshape(MIDDLE, MIDDLE, -1)
        rough = resample(ridge, (MIDDLE, MIDDLE))
        right, down = 1 - (grid[:, :-1] * grid[:, 1:]).sum(axis=2), 1 - (grid[:-1] * grid[1:]).sum(axis=2)
        edge = np.pad(right, ((0, 0), (0, 1))) + np.pad(right, ((0, 0), (1, 0)))
        edge += np.pad(down, ((0, 1), (0, 0))) + np.pad(down, ((1, 0), (0, 0)))  # no direction: it turns with the image
        parts = [score, *means, _along_neighbours(grid, rough), edge]
        return np.clip(np.stack(parts), -LIMIT, LIMIT).astype(np.float32)

    def _fine(self, square: np.ndarray) -> np.ndarray:
        """[maps, 256, 256] of the pixel classifiers."""
        responses = filter_responses(square)
        scored = []
        for (classifier, own), values in zip(self._pixels, (normalised(responses), responses), strict=True):
            scored.append(_standardised(classifier(values), own))
        return np.clip(np.stack(scored), -LIMIT, LIMIT).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _nearness(grid_size: Size) -> np.ndarray:
    """[P, P] float32: the spatial term of the affinities, which depends on the grid alone."""
    row, column = np.divmod(np.arange(grid_size[0] * grid_size[1]), grid_size[1])
    scale = COARSE / np.array(grid_size, dtype=np.float32)
    gaps = ((row[:, None] - row) * scale[0]) ** 2 + ((column[:, None] - column) * scale[1]) ** 2
    return np.exp(-gaps.astype(np.float32) / (2 * NEIGHBOUR_SIGMA**2))


def _with_threshold(matcher: Matcher, tokens: np.ndarray, labels: np.ndarray) -> tuple[Matcher, float]:
    """A matcher and the threshold that segments the reference best."""
    return matcher, reference_threshold(matcher(tokens), labels)


def _pixels_with_threshold(
    responses: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> tuple[PixelClassifier, float]:
    """A pixel classifier and the threshold that segments the reference best, of every seventh pixel."""
    classifier = fit_pixels(responses, masks)
    scores = np.concatenate([classifier(one).reshape(-1)[::7] for one in responses])
    share = np.concatenate([one.reshape(-1)[::7] for one in masks])
    labels = share >= min(0.5, float(share.max()))
    return classifier, reference_threshold(scores, labels)


def _standardised(values: np.ndarray, own: float) -> np.ndarray:
    """Scores as deviations from their threshold: three quarters Otsu's on the target, one quarter the reference's
    own."""
    threshold = OTSU_SHARE * otsu_threshold(values) + (1 - OTSU_SHARE) * own
    return ((values - threshold) / max(float(values.std()), 1e-6)).astype(np.float32)


def _along_neighbours(grid: np.ndarray, values: np.ndarray, reach: int = 2) -> np.ndarray:
    """[64, 64] a map averaged over the near cells that look alike: affinities of the embedding [64, 64, C]."""
    total, mass = np.zeros_like(values), np.zeros_like(values)
    rows, columns = values.shape
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            here = np.s_[max(0, -dy) : rows - max(0, dy), max(0, -dx) : columns - max(0, dx)]
            there = np.s_[max(0, dy) : rows - max(0, -dy), max(0, dx) : columns - max(0, -dx)]
            weight = np.exp(((grid[here] * grid[there]).sum(axis=2) - 1) / LOCAL_TEMPERATURE)
            total[here] += weight * values[there]
            mass[here] += weight
    return total / mass


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _unit_rows(tokens: np.ndarray) -> np.ndarray:
    return tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12)
