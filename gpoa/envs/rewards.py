"""Rewards as differences of a potential of the state, so that a closed cycle of actions earns nothing (Ng et al. 1999).

Potentials that know the ground truth are for training only. The one that does not is the reward of the GPOA paper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy import ndimage

from gpoa.config import RewardName
from gpoa.envs.episode import PromptEpisode, PromptState
from gpoa.geometry import low_res_size, to_low_res_frame
from gpoa.graph.distances import DistanceMatrices, point_distances
from gpoa.graph.nodes import NodeKind

BOUNDARY_WIDTH = 0.02
"""Width of the band of the boundary IoU, as a fraction of the diagonal (Cheng et al. 2021)."""


class Potential(Protocol):
    """How good a state is; only differences matter."""

    def __call__(self, episode: PromptEpisode, state: PromptState) -> float:
        """The value of a state, about in [0, 1]."""
        ...


def make_compare(name: RewardName, truth: np.ndarray) -> Callable[[np.ndarray], float]:
    """Scores low-resolution masks against the ground truth of one image.

    Args:
        name: iou, or dice-boundary: mean of Dice and boundary IoU; other rewards are trained with IoU as the quality.
        truth: [H, W] bool at the original size.

    Returns:
        Mask logits [256, 256] -> score in [0, 1]; empty against empty is 1.
    """
    rows, columns = low_res_size(truth.shape)
    wanted = (to_low_res_frame(truth.astype(np.float32), truth.shape, 0.0) > 0.5)[:rows, :columns]

    def compare(logits: np.ndarray) -> float:
        mask = logits[:rows, :columns] > 0
        if name == "dice-boundary":
            return (dice(mask, wanted) + boundary_iou(mask, wanted)) / 2
        return jaccard(mask, wanted)

    return compare


def jaccard(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool masks of one shape; 1 where both are empty."""
    union = int((mask | truth).sum())
    return float((mask & truth).sum() / union) if union else 1.0


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of two bool masks of one shape; 1 where both are empty."""
    total = int(mask.sum() + truth.sum())
    return float(2 * (mask & truth).sum() / total) if total else 1.0


def boundary_iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """IoU of the inner bands of two masks along their boundaries (Cheng et al. 2021, arXiv:2103.16562)."""
    width = max(1, round(BOUNDARY_WIDTH * float(np.hypot(*mask.shape))))
    return jaccard(*(part & ~_eroded(part, width) for part in (mask, truth)))


def _eroded(mask: np.ndarray, width: int) -> np.ndarray:
    """The mask without the pixels within `width` of its boundary or of the image's edge."""
    padded = np.pad(mask, 1)
    return ndimage.distance_transform_edt(padded)[1:-1, 1:-1] > width


def truth_potential(episode: PromptEpisode, state: PromptState) -> float:
    """Agreement of the state's mask with the ground truth.

    Raises:
        ValueError: the episode has no ground truth.
    """
    truth = episode.feedback(state.active).truth
    if truth is None:
        raise ValueError(f"{episode.name}: this reward needs ground truth, and the episode has none")
    return float(truth[episode.nodes.output(state.active)])


def graph_potential(episode: PromptEpisode, state: PromptState) -> float:
    """The reward without ground truth of the graph-based agents before us, as a potential.

    After the five mean edge distances of GPOA (named in DESIGN 5) and the Point Prompt Optimizer (Liu et al., CVPR
    2025): positives should be alike and positives unlike negatives in feature space, and both should be spread over the
    image: the mean feature distance across labels, minus that within the positives, plus the three mean physical
    distances (within positives, within negatives, across). A mean over no pair counts as 0, so the value is defined for
    every set.
    """
    distances = _distances(episode)
    points = np.flatnonzero(episode.nodes.patch_index >= 0)
    on = state.active[points]
    positive = on & (episode.nodes.kind[points] == NodeKind.POS)
    negative = on & (episode.nodes.kind[points] == NodeKind.NEG)
    apart = _mean(distances.feature, positive, negative) - _mean(distances.feature, positive, positive)
    pairs = ((positive, positive), (negative, negative), (positive, negative))
    return (apart + sum(_mean(distances.physical, *pair) for pair in pairs)) / 5


def _mean(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Mean distance between two sets of points, pairs of a point with itself left out."""
    block = matrix[np.ix_(rows, columns)]
    pairs = block.size - (int(rows.sum()) if rows is columns else 0)
    return float(block.sum() / pairs) if pairs else 0.0


def _distances(episode: PromptEpisode) -> DistanceMatrices:
    return point_distances(episode.nodes, episode.view.features)


POTENTIALS: dict[str, Potential] = {
    "iou": truth_potential,
    "dice-boundary": truth_potential,
    "graph": graph_potential,
}
