"""GF-SAM (Zhang et al. 2024, "Bridge the Points: Graph-based Few-shot Segment Anything Semantically",
arXiv:2410.06964).

Positive-negative alignment: three maps on the target's patches, the mean and the maximum similarity to the
reference's foreground and the mean similarity to its background. A patch whose (mean x max) exceeds its background
map, both scaled to [0, 1], is a candidate with that value; the sum of the values is the number of points, and the
highest ones are taken. SAM gives one mask a point. Point-mask clustering: an edge leads from a point to every other
point that its mask covers; weakly connected components are the clusters. Positive gating: within a cluster, masks are
added from the purest on, each only if its new part has more positive than negative pixels. Overshooting gating: a
point stays only if the cluster whose union mask resembles it most, divided by the distance to that cluster, is its
own. The union of the masks of points that pass both is the answer.

What differs from the paper, or is our reading of it: DINOv2 ViT-S/14 and MobileSAM instead of ViT-L/14 and SAM ViT-H,
and a patch grid of the configured size instead of 37 x 37. The distance to a cluster is taken on the patch grid and
is at least 1 patch, so that the own cluster and an adjacent one are compared by likeness alone (the equation divides
by the distance, which is 0 to the own cluster). The point's mask is SAM's single-mask output. Masks are counted and
joined at SAM's 256 x 256 resolution and enlarged once. An object that no point passes for is absent: the mask is
empty.

Published, with the large models (mIoU, one shot): 58.7 on COCO-20i, 72.1 on Pascal-5i, 88.0 on FSS-1000, 48.7 on
ISIC.

Legend: `P` patches, `N` points, `C` clusters, `h, w` the part of the 256 x 256 frame that holds the image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpoa.baselines.base import Answer, FrozenModels, full_mask
from gpoa.geometry import low_res_size, patch_centers_original, patch_index_of, rescale_points, to_sam_points
from gpoa.matching.reference import Reference, make_reference
from gpoa.types import PatchFeatures, PointPrompts, Size


class SimilarityMaps(NamedTuple):
    """How each patch of the target resembles the reference (paper, eq. 2).

    Args:
        foreground_mean: [P] float32 in [0, 1], mean over the foreground.
        foreground_max: [P] float32 in [0, 1], maximum over the foreground.
        background_mean: [P] float32 in [0, 1], mean over the background.
    """

    foreground_mean: np.ndarray
    foreground_max: np.ndarray
    background_mean: np.ndarray


def similarity_maps(reference: Reference, tokens: np.ndarray) -> SimilarityMaps:
    """The three maps of the positive-negative alignment (paper, eq. 1 and 2).

    Args:
        reference: the labelled patches.
        tokens: [P, D] float32 target tokens, unit length.
    """
    correlation = np.maximum(tokens @ reference.tokens.T, 0.0)  # [P, R]
    inside, outside = correlation[:, reference.labels], correlation[:, ~reference.labels]
    return SimilarityMaps(inside.mean(axis=1), inside.max(axis=1), outside.mean(axis=1))


def _unit_range(values: np.ndarray) -> np.ndarray:
    """Values scaled to [0, 1]; zeros where they are all alike."""
    span = float(values.max() - values.min())
    return (values - values.min()) / span if span > 1e-9 else np.zeros_like(values)


def select_points(maps: SimilarityMaps, limit: int | None = None) -> np.ndarray:
    """The patches that become points (paper, eq. 3).

    Args:
        maps: of the target.
        limit: at most this many, spread evenly over the ranking; None for as many as the maps ask for.

    Returns:
        [N] int64 row-major patch indices, highest value first; at least one where any patch is a candidate.
    """
    positive = _unit_range(maps.foreground_mean * maps.foreground_max)
    values = np.where(positive > _unit_range(maps.background_mean), positive, 0.0)
    candidates = int((values > 0).sum())
    count = min(max(1, int(values.sum())), candidates)
    ranked = np.argsort(-values, kind="stable")[:count]
    if limit is None or count <= limit:
        return ranked
    # The highest values alone lie close together; every k-th keeps the whole object, only sparser.
    return ranked[np.arange(limit) * count // limit]


def polarity(maps: SimilarityMaps) -> np.ndarray:
    """Which patches count as object: [P] bool (paper, eq. 4)."""
    middle = (maps.foreground_mean.max() + maps.foreground_mean.min()) / 2
    return maps.foreground_mean**2 > middle * maps.background_mean


def cluster_points(covers: np.ndarray) -> np.ndarray:
    """Weakly connected components of the graph of point coverage (paper, section 4.2).

    Args:
        covers: [N, N] bool, the mask of the row's point covers the column's point.

    Returns:
        [N] int cluster of each point, from 0 on.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    return connected_components(csr_array(covers), directed=True, connection="weak")[1]


def positive_gate(masks: np.ndarray, positive: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Mask growth in each cluster (paper, section 4.3 and algorithm 1).

    Args:
        masks: [N, h, w] bool.
        positive: [h, w] bool, where the target looks like the object.
        clusters: [N] cluster of each mask.

    Returns:
        [N] bool, the masks whose new part has more positive than other pixels when they are added, purest first.
    """
    area = masks.sum(axis=(1, 2))
    purity = (masks & positive).sum(axis=(1, 2)) / np.maximum(area, 1)
    kept = np.zeros(len(masks), dtype=bool)
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        grown = np.zeros(positive.shape, dtype=bool)
        for index in members[np.argsort(-purity[members], kind="stable")]:
            new = masks[index] & ~grown
            if 2 * int((new & positive).sum()) > int(new.sum()):
                kept[index], grown = True, grown | new
    return kept


def overshoot_gate(similarity: np.ndarray, inside: np.ndarray, cells: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Keeps the points that resemble their own cluster most (paper, eq. 6).

    Args:
        similarity: [N, P] of each point's patch to all patches, 0 or more.
        inside: [C, P] share of each patch that the union mask of a cluster covers.
        cells: [N, 2] (row, column) of each point's patch.
        clusters: [N] cluster of each point.

    Returns:
        [N] bool.
    """
    likeness = similarity @ inside.T / np.maximum(inside.sum(axis=1), 1e-9)  # [N, C]
    apart = np.linalg.norm(cells[:, None] - cells[None], axis=-1)  # [N, N]
    distance = np.stack([apart[:, clusters == c].min(axis=1) for c in range(len(inside))], axis=1)
    score = likeness / np.maximum(distance, 1.0)
    own = score[np.arange(len(clusters)), clusters]
    return own >= score.max(axis=1) - 1e-9


def _low_res_patches(size: Size, features: PatchFeatures) -> np.ndarray:
    """The patch that each pixel of the low-resolution frame lies in: [h, w] int64."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    xy = rescale_points(pixels, size, features.original_size)
    return patch_index_of(xy, features.grid_size, features.original_size).reshape(size)


def _point_pixels(xy: np.ndarray, original_size: Size, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of points (x, y) in the low-resolution frame."""
    pixel = np.floor((to_sam_points(xy, original_size) + 0.5) / 4).astype(np.int64)
    return np.clip(pixel[:, 1], 0, size[0] - 1), np.clip(pixel[:, 0], 0, size[1] - 1)


class GfSam:
    """GF-SAM as a `Method`.

    Args:
        models: the frozen models.
        seed: unused, nothing is drawn at random.
        max_points: at most this many points, and so decoder calls, an image; None, as in the paper, sets no limit
            (three photographs of elephants asked for 226 on average on a 32 x 32 grid).
    """

    def __init__(self, models: FrozenModels, seed: int = 0, max_points: int | None = None) -> None:
        self.models, self.seed, self.max_points = models, seed, max_points
        self._reference: Reference | None = None

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """See `Method.fit`."""
        self._reference = make_reference([(self.models.features(image), mask)])

    def predict(self, image: np.ndarray) -> Answer:
        """See `Method.predict`."""
        assert self._reference is not None, "fit comes before predict"
        features = self.models.features(image)
        maps = similarity_maps(self._reference, features.tokens)
        points = select_points(maps, self.max_points)
        if not len(points):
            return Answer(mask=np.zeros(image.shape[:2], dtype=bool))
        embedding = self.models.embedding(image)
        xy = patch_centers_original(features)[points]
        prompts = [PointPrompts(point_coords=place[None], point_labels=np.array([1])) for place in xy]
        logits = self.models.segmenter.decode(embedding, prompts).low_res_logits[:, 0]
        kept = self._gates(logits, points, maps, features)
        if not kept.any():
            return Answer(mask=np.zeros(image.shape[:2], dtype=bool))
        return Answer(mask=full_mask(logits[kept].max(axis=0), embedding))

    def _gates(
        self, logits: np.ndarray, points: np.ndarray, maps: SimilarityMaps, features: PatchFeatures
    ) -> np.ndarray:
        """Which points pass both gates: [N] bool."""
        size = low_res_size(features.original_size)
        masks = logits[:, : size[0], : size[1]] > 0  # [N, h, w]
        rows, columns = _point_pixels(patch_centers_original(features)[points], features.original_size, size)
        clusters = cluster_points(masks[:, rows, columns])
        patch = _low_res_patches(size, features)  # [h, w]
        pixels = np.bincount(patch.reshape(-1), minlength=len(features.tokens))  # [P]
        unions = [masks[clusters == c].any(axis=0) for c in range(clusters.max() + 1)]
        counts = [np.bincount(patch[union], minlength=len(features.tokens)) for union in unions]
        similarity = np.maximum(features.tokens[points] @ features.tokens.T, 0.0)  # [N, P]
        cells = np.stack(np.unravel_index(points, features.grid_size), axis=1)
        consistent = overshoot_gate(similarity, np.stack(counts) / np.maximum(pixels, 1), cells, clusters)
        return positive_gate(masks, polarity(maps)[patch], clusters) & consistent
