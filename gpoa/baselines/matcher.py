"""Matcher (Liu et al. 2023, "Matcher: Segment Anything with One Shot Using All-Purpose Feature Matching",
arXiv:2305.13310).

Patch-level matching: a one-to-one assignment of the reference's foreground patches to target patches, and one of the
patches so reached back to all reference patches; a match that does not return into the mask is dropped. Robust prompt
sampler: the places matched are clustered by k-means++; small random sets of points are drawn from one cluster (part),
from all places (instance) and from the cluster centres (global), and SAM answers each with three masks.
Instance-level matching: a proposal is judged by the earth mover's distance (EMD) between its tokens and the
reference's foreground, by its purity (matched places per area) and by its coverage (share of the matched places
inside): alpha (1 - EMD) + beta purity coverage^gamma. The best few are joined.

What differs from the paper, or is our reading of it: DINOv2 ViT-S/14 and MobileSAM instead of ViT-L/14 and SAM ViT-H;
a patch grid of the configured size instead of 37 x 37; at most 60 sets of 1 to 6 points, shared evenly by the three
kinds (the authors' page runs 64 for COCO-20i), so at most 60 decoder calls. Defaults follow the authors' command for
COCO-20i where it states them: score by EMD alone, 9 masks joined, stability from .90, predicted IoU from .85, box
suppression above .65, purity from .02. What the last three do is read from their names, as in SAM's automatic mask
generator. If no proposal is stable and sure enough, all are judged. EMD is exact for uniform weights where both sets
can be repeated to a common size of 256 at most; larger ones are thinned evenly to 256. Where no match returns the
object is absent: the mask is empty. The confidence is the best proposal's score.

Published, with the large models (mIoU, one shot): 52.7 on COCO-20i, 87.0 on FSS-1000; 38.6 on ISIC as given by the
GF-SAM paper.

Legend: `P` patches, `R` reference patches, `N` proposals, `K` matched places.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

from gpoa.baselines.base import Answer, FrozenModels, full_mask
from gpoa.geometry import logits_to_patches, patch_centers_original
from gpoa.matching.reference import Reference, make_reference
from gpoa.types import MaskPrediction, PatchFeatures, PointPrompts, Size

EMD_SIDE = 256
STABILITY_OFFSET = 1.0


@dataclass(frozen=True)
class Filters:
    """Below or above what a proposal is dropped before the best are joined.

    Args:
        stability: least IoU of the masks at logit +1 and -1, as in SAM's automatic mask generator.
        predicted_iou: least IoU that SAM predicts.
        box_overlap: of two proposals whose boxes overlap by more than this IoU, the one with the higher predicted IoU
            stays.
        purity: least number of matched places per patch of area.
    """

    stability: float = 0.90
    predicted_iou: float = 0.85
    box_overlap: float = 0.65
    purity: float = 0.02


@dataclass(frozen=True)
class Weights:
    """Of the measures in a proposal's score: alpha (1 - EMD) + beta purity coverage^gamma."""

    alpha: float = 1.0
    beta: float = 0.0
    gamma: float = 0.0


def match_patches(reference: Reference, tokens: np.ndarray) -> np.ndarray:
    """One-to-one matching there and back (paper, section 3.2).

    Args:
        reference: the labelled patches.
        tokens: [P, D] float32 target tokens, unit length.

    Returns:
        [K] int64 target patches, ascending, whose match leads back into the mask; K may be 0.
    """
    from scipy.optimize import linear_sum_assignment

    labels = reference.labels
    forward = linear_sum_assignment(reference.tokens[labels] @ tokens.T, maximize=True)[1]
    reached, back = linear_sum_assignment(tokens[forward] @ reference.tokens.T, maximize=True)
    return np.sort(forward[reached[labels[back]]])


def sample_prompts(xy: np.ndarray, count: int, clusters: int, sizes: tuple[int, int], seed: int) -> list[PointPrompts]:
    """The robust prompt sampler (paper, section 3.2): sets of positive points, each kind in turn.

    Args:
        xy: [K, 2] float32 (x, y) matched places in original pixels, K at least 1.
        count: sets to draw; fewer come back where a set is drawn twice.
        clusters: of k-means++, at most K.
        sizes: (least, most) points in a set.
        seed: of every draw.
    """
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    clusters = min(clusters, len(np.unique(xy, axis=0)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # it is left out, no harm is done
        member = kmeans2(xy.astype(np.float64), clusters, minit="++", seed=rng)[1]
    parts = [xy[member == c] for c in np.unique(member)]
    centers = np.stack([part.mean(axis=0) for part in parts])
    drawn: dict[bytes, np.ndarray] = {}
    for turn in range(count):
        pool = (parts[rng.integers(len(parts))], xy, centers)[turn % 3]
        size = min(int(rng.integers(sizes[0], sizes[1] + 1)), len(pool))
        points = pool[np.sort(rng.choice(len(pool), size, replace=False))].astype(np.float32)
        drawn.setdefault(points.tobytes(), points)
    return [PointPrompts(points, np.ones(len(points), dtype=np.int64)) for points in drawn.values()]


def earth_movers_distance(cost: np.ndarray) -> float:
    """EMD between two sets of equal total weight, each spread evenly over its members.

    A plan between n copies of each side is an assignment, so repeating both sets to a common size makes it exact.

    Args:
        cost: [n, m] of moving from one member to another.

    Returns:
        The mean cost of the cheapest plan.
    """
    from scipy.optimize import linear_sum_assignment

    size = min(math.lcm(*cost.shape), EMD_SIDE)
    rows, columns = (np.arange(size) * side // size for side in cost.shape)
    spread = cost[np.ix_(rows, columns)]
    return float(spread[linear_sum_assignment(spread)].mean())


def purity_and_coverage(shares: np.ndarray, matched: np.ndarray) -> tuple[float, float]:
    """How densely a mask is filled with matched places, and how many of them it holds (paper, section 3.3).

    Args:
        shares: [P] share of each patch that the mask covers.
        matched: [K] matched patches.

    Returns:
        Matched places inside per patch of area, at most 1; share of the matched places inside.
    """
    inside = int((shares[matched] >= 0.5).sum())
    return min(1.0, inside / max(float(shares.sum()), 1.0)), inside / len(matched)


def stability(logits: np.ndarray) -> np.ndarray:
    """IoU of the masks at logit +1 and -1 for logits [N, 256, 256]; 0 for empty masks."""
    high = (logits > STABILITY_OFFSET).sum(axis=(1, 2))
    return high / np.maximum((logits > -STABILITY_OFFSET).sum(axis=(1, 2)), 1)


def suppress(masks: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Non-maximum suppression by the masks' bounding boxes.

    Args:
        masks: [N, h, w] bool, none empty.
        scores: [N] higher is kept.
        overlap: IoU of two boxes above which the lower one is dropped.

    Returns:
        Indices kept, highest score first.
    """
    rows = np.asarray(masks.any(axis=2))
    columns = np.asarray(masks.any(axis=1))
    low = np.stack([columns.argmax(axis=1), rows.argmax(axis=1)], axis=1)
    high = np.stack(
        [columns.shape[1] - columns[:, ::-1].argmax(axis=1), rows.shape[1] - rows[:, ::-1].argmax(axis=1)], axis=1
    )
    area = (high - low).prod(axis=1)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        common = np.maximum(np.minimum(high[kept], high[index]) - np.maximum(low[kept], low[index]), 0).prod(axis=1)
        if not kept or (common / (area[kept] + area[index] - common)).max() <= overlap:
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def propose(prediction: MaskPrediction, filters: Filters) -> np.ndarray:
    """The distinct masks [N, 256, 256] (logits) of a prediction that are stable and sure; all where none is."""
    logits, sure = prediction.low_res_logits.reshape(-1, 256, 256), prediction.iou_predictions.reshape(-1)
    filled = (logits > 0).any(axis=(1, 2))
    logits, sure = logits[filled], sure[filled]
    good = (stability(logits) >= filters.stability) & (sure >= filters.predicted_iou)
    if good.any():
        logits, sure = logits[good], sure[good]
    return logits[suppress(logits > 0, sure, filters.box_overlap)]


class Matcher:
    """Matcher as a `Method`.

    Args:
        models: the frozen models.
        seed: of the clusters and of the points drawn; every image starts from it anew.
        samples: sets of points an image, and so decoder calls, at most.
        clusters: of the matched places.
        merged: proposals joined, at most.
        weights: of the score's measures.
        filters: of the proposals.
    """

    SET_SIZES = (1, 6)

    def __init__(
        self,
        models: FrozenModels,
        seed: int = 0,
        samples: int = 60,
        clusters: int = 8,
        merged: int = 9,
        weights: Weights | None = None,
        filters: Filters | None = None,
    ) -> None:
        self.models, self.seed, self.samples, self.clusters, self.merged = models, seed, samples, clusters, merged
        self.weights, self.filters = weights or Weights(), filters or Filters()
        self._reference: Reference | None = None

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """See `Method.fit`."""
        self._reference = make_reference([(self.models.features(image), mask)])

    def predict(self, image: np.ndarray) -> Answer:
        """See `Method.predict`."""
        assert self._reference is not None, "fit comes before predict"
        features = self.models.features(image)
        matched = match_patches(self._reference, features.tokens)
        nothing = Answer(mask=np.zeros(image.shape[:2], dtype=bool), confidence=0.0)
        if not len(matched):
            return nothing
        xy = patch_centers_original(features)[matched]
        prompts = sample_prompts(xy, self.samples, self.clusters, self.SET_SIZES, self.seed)
        embedding = self.models.embedding(image)
        prediction = self.models.segmenter.decode(embedding, prompts, multimask_output=True)
        proposals = propose(prediction, self.filters)
        scores = self._scores(proposals, matched, features, embedding.original_size)
        best = np.argsort(-scores, kind="stable")[: min(self.merged, int(np.isfinite(scores).sum()))]
        if not len(best):
            return nothing
        confidence = float(np.clip(scores[best[0]], 0.0, 1.0))
        return Answer(mask=full_mask(proposals[best].max(axis=0), embedding), confidence=confidence)

    def _scores(self, logits: np.ndarray, matched: np.ndarray, features: PatchFeatures, size: Size) -> np.ndarray:
        """Score of each proposal [N]; minus infinity where its purity is too low."""
        assert self._reference is not None
        known = self._reference.tokens[self._reference.labels]
        cost = (1 - features.tokens @ known.T) / 2  # [P, foreground]
        scores = np.full(len(logits), -np.inf)
        for index, proposal in enumerate(logits):
            shares = logits_to_patches(proposal, size, features.grid_size).reshape(-1)
            purity, coverage = purity_and_coverage(shares, matched)
            if purity < self.filters.purity:
                continue
            inside = shares >= min(0.5, float(shares.max()))
            closeness = 1 - earth_movers_distance(cost[inside])
            scores[index] = self.weights.alpha * closeness + self.weights.beta * purity * coverage**self.weights.gamma
        return scores
