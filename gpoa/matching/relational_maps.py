"""What can be said of a mask without ground truth, as maps on the patch grid.

All maps are relational: cosines, probabilities and regression outputs between patches of the target, patches of the
reference and the mask, never feature channels. So a network that reads them can serve classes and backbones that it
never saw (DESIGN 5 lists the maps and what they are worth).

Legend: `P` target patches, `R` reference patches over `S` shots, `D` feature width, (h, w) patch grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gpoa.config import ThresholdConfig
from gpoa.geometry import from_low_res_frame, logits_to_patches
from gpoa.matching.classifier import fit_margin, fit_ridge, fit_soft_knn
from gpoa.matching.reference import Reference
from gpoa.matching.threshold import reference_threshold, to_score_map
from gpoa.types import PatchFeatures, ScoreMap

IMAGE_MAPS = (
    "score",
    "probability",
    "soft_knn",
    "foreground_cosine",
    "background_cosine",
    "margin",
    "segmenter_score",
    "folder_score",
)
"""Maps of a target that do not depend on a mask; the last one is the first where there is no folder."""
MASK_MAPS = ("mask", "logit", "reproduced", "contrast", "segmenter_contrast")
"""Maps of a target that depend on a mask."""
REFERENCE_MAPS = ("mask", "reverse", "contrast", "segmenter_reverse")
"""Maps of the reference; all but the first depend on a mask of the target."""
SCALARS = (
    "sam_iou",
    "stability",
    "area",
    "area_ratio",
    "reference_area",
    "agreement",
    "separability",
    "reverse",
    "mean_score",
    "segmenter_agreement",
    "segmenter_reverse",
    "segmenter_mean_score",
    "folder_agreement",
)
JUDGE_WIDTH = 256
RIDGE_PENALTY = 10.0
STABILITY_OFFSET = 1.0
LOGIT_LIMIT = 10.0
SOFT_KNN_TEMPERATURE = 0.05
MARGIN_NEIGHBOURS = 5


@dataclass(frozen=True, eq=False, slots=True)
class MaskReading:
    """What the features say of one mask.

    Args:
        maps: [len(MASK_MAPS), h, w] float16.
        reference_maps: [len(REFERENCE_MAPS), S, h, w] float16.
        scalars: [len(SCALARS)] float32.
    """

    maps: np.ndarray
    reference_maps: np.ndarray
    scalars: np.ndarray


@dataclass(frozen=True, eq=False)
class TargetView:
    """One target as seen from its reference; everything that does not depend on a mask is computed once.

    Args:
        reference: the labelled patches; every shot has the target's grid.
        features: the target's features.
        score_map: the target's scores.
        segmenter_reference: the labelled patches in the segmenter's own embedding.
        segmenter_tokens: [P, C] float32 the target in that embedding, unit length.
        folder_map: the target's scores where the other images of the folder have a say (`matching.folder`), or None.
    """

    reference: Reference
    features: PatchFeatures
    score_map: ScoreMap
    segmenter_reference: Reference
    segmenter_tokens: np.ndarray
    folder_map: ScoreMap | None = None
    image_maps: np.ndarray = field(init=False)
    """[len(IMAGE_MAPS), h, w] float32."""
    _narrow: np.ndarray = field(init=False, repr=False)
    _narrow_reference: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_maps", self._image_maps())
        projection = random_projection(self.features.tokens.shape[1])
        narrow = self.features.tokens if projection is None else self.features.tokens @ projection
        narrow_reference = self.reference.tokens if projection is None else self.reference.tokens @ projection
        object.__setattr__(self, "_narrow", narrow)
        object.__setattr__(self, "_narrow_reference", narrow_reference)

    def _image_maps(self) -> np.ndarray:
        """The maps that do not depend on a mask."""
        tokens, reference, labels = self.features.tokens, self.reference, self.reference.labels
        parts = [
            self.score_map.logits.reshape(-1),
            self.probability.reshape(-1),
            fit_soft_knn(reference, SOFT_KNN_TEMPERATURE)(tokens),
            tokens @ _unit(reference.tokens[labels].mean(axis=0)),
            tokens @ _unit(reference.tokens[~labels].mean(axis=0)),
            fit_margin(reference, MARGIN_NEIGHBOURS)(tokens),
            self._segmenter_score(),
            (self.score_map if self.folder_map is None else self.folder_map).logits.reshape(-1),
        ]
        return np.stack(parts).reshape(len(IMAGE_MAPS), *self.features.grid_size).astype(np.float32)

    def _segmenter_score(self) -> np.ndarray:
        """[P] logits of a score map that is made from the segmenter's embedding."""
        known = self.segmenter_reference
        matcher = fit_ridge(known, RIDGE_PENALTY)
        own = reference_threshold(matcher(known.tokens), known.labels)
        scores = matcher(self.segmenter_tokens)
        return to_score_map(scores, self.features.grid_size, ThresholdConfig(), own).logits.reshape(-1)

    @property
    def probability(self) -> np.ndarray:
        """[h, w] float32: the score map squeezed into (0, 1)."""
        return _sigmoid(2 * self.score_map.logits)

    def read(self, logits: np.ndarray, predicted_iou: float) -> MaskReading:
        """Compares a mask with the features.

        Args:
            logits: [256, 256] float32 in SAM's padded frame.
            predicted_iou: SAM's own estimate.

        Returns:
            Maps and scalars; for a mask that covers nothing or everything the comparing ones are 0.
        """
        grid, size = self.features.grid_size, self.features.original_size
        mask = logits_to_patches(logits, size, grid)
        smooth = from_low_res_frame(np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT), size, grid)
        flat, other = mask.reshape(-1), (self.segmenter_tokens, self.segmenter_reference.tokens)
        reproduced, contrast, reverse, back_contrast = _compare(
            flat, self.features.tokens, self.reference.tokens, self._narrow, self._narrow_reference
        )
        _, segmenter_contrast, segmenter_reverse, _ = _compare(flat, *other, *other)
        segmenter_score = self.image_maps[IMAGE_MAPS.index("segmenter_score")]
        folder_score = self.image_maps[IMAGE_MAPS.index("folder_score")]
        known = self.reference.foreground
        scalars = (
            float(np.clip(predicted_iou, 0, 1)),
            stability(logits),
            float(mask.mean()),
            float(np.log((mask.mean() + 0.005) / (known.mean() + 0.005))),
            float(known.mean()),
            soft_iou(mask, self.probability),
            soft_iou(mask.reshape(-1), (reproduced > 0).astype(np.float32)),
            soft_iou(known, (reverse > 0).astype(np.float32)),
            float((mask * self.score_map.logits).sum() / (mask.sum() + 1e-3)),
            soft_iou(mask, _sigmoid(2 * segmenter_score)),
            soft_iou(known, (segmenter_reverse > 0).astype(np.float32)),
            float((mask * segmenter_score).sum() / (mask.sum() + 1e-3)),
            soft_iou(mask, _sigmoid(2 * folder_score)),
        )
        over = (reproduced, contrast, segmenter_contrast)
        maps = np.stack([mask, smooth, *(part.reshape(grid) for part in over)])
        reference_maps = np.stack([known, reverse, back_contrast, segmenter_reverse]).reshape(
            len(REFERENCE_MAPS), -1, *grid
        )
        return MaskReading(
            maps.astype(np.float16), reference_maps.astype(np.float16), np.array(scalars, dtype=np.float32)
        )


def _compare(
    mask: np.ndarray, tokens: np.ndarray, known: np.ndarray, narrow: np.ndarray, narrow_known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(reproduced [P], contrast [P], reverse [R], contrast on the reference [R]) of a mask [P], from the tokens of the
    target [P, D] and of the reference [R, D]; the ridge is fitted on the narrow ones."""
    if says_nothing(mask):
        return np.zeros(len(tokens)), np.zeros(len(tokens)), np.zeros(len(known)), np.zeros(len(known))
    matcher = fit_ridge(Reference(tokens=narrow, foreground=mask), RIDGE_PENALTY)
    direction = _unit(mask @ tokens) - _unit((1 - mask) @ tokens)
    return matcher(narrow), tokens @ direction, matcher(narrow_known), known @ direction


def random_projection(width: int) -> np.ndarray | None:
    """[width, 256] float32 random directions on which a ridge is fitted cheaply (Johnson and Lindenstrauss), the same
    in every process; None where tokens are narrow already."""
    if width <= JUDGE_WIDTH:
        return None
    rng = np.random.default_rng(0)
    return rng.standard_normal((width, JUDGE_WIDTH), dtype=np.float32) / np.sqrt(np.float32(JUDGE_WIDTH))


def stability(logits: np.ndarray) -> float:
    """SAM's stability score: IoU of the masks at logits +1 and -1, in [0, 1]; 0 for an empty mask."""
    outer = int((logits > -STABILITY_OFFSET).sum())
    return float((logits > STABILITY_OFFSET).sum() / outer) if outer else 0.0


def soft_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of the smaller over sum of the larger values of two maps in [0, 1]; 0 where both are zero."""
    total = float(np.maximum(a, b).sum())
    return float(np.minimum(a, b).sum() / total) if total > 0 else 0.0


def says_nothing(mask: np.ndarray) -> bool:
    """Whether a mask covers nothing or everything."""
    return bool(mask.max() < 0.05 or mask.min() > 0.95)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(values, -LOGIT_LIMIT * 3, LOGIT_LIMIT * 3)))).astype(np.float32)


def _unit(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1 (a zero vector stays)."""
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
