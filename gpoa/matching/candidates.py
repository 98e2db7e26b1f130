"""From a score map to points: where to ask the segmenter.

Positives are spread over the thresholded region by farthest-point sampling, weighted towards high scores and away from
the border; every connected component gets its share. Negatives come from the ring around the region and from the
background, spread likewise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from gpoa.config import CandidatesConfig
from gpoa.geometry import patch_centers_original, rescale_points, to_low_res_frame
from gpoa.matching.nearest import Matches, prune_opposites
from gpoa.types import CandidatePoints, PatchFeatures, PointPrompts, ScoreMap, Size

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
RING_PATCHES = 3
MASK_PROMPT_LIMIT = 20.0


class _Choice(NamedTuple):
    """Chosen patches (row-major) and the component of each."""

    patch: np.ndarray
    component: np.ndarray


def farthest_points(xy: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """Weighted farthest-point sampling.

    The first point has the largest weight; each next one the largest product of weight and distance to the chosen ones.

    Args:
        xy: [N, 2] positions.
        weight: [N] non-negative.
        count: how many points; at most N are returned.

    Returns:
        [min(count, N)] int64 indices in the order of choice; deterministic.
    """
    count = min(count, len(xy))
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    chosen = [int(np.argmax(weight))]
    distance = np.full(len(xy), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.sqrt(((xy - xy[chosen[-1]]) ** 2).sum(axis=1)))
        value = distance * np.maximum(weight, 1e-6)
        value[chosen] = -1.0
        chosen.append(int(np.argmax(value)))
    return np.array(chosen, dtype=np.int64)


def make_candidates(
    score_map: ScoreMap, features: PatchFeatures, config: CandidatesConfig, matches: Matches | None = None
) -> CandidatePoints:
    """Chooses the candidate points of one target.

    Args:
        score_map: the target's scores.
        features: the target's features (only their geometry is used).
        config: how many points of which kind.
        matches: with `sampler="all"`, the matched patches, all of which become points.

    Returns:
        The candidates, positives first; none at all where the thresholded map is empty.
    """
    if config.sampler == "all" and matches is not None:
        positive = _Choice(matches.positive, np.zeros(len(matches.positive), dtype=np.int64))
        negative = _Choice(matches.negative, np.full(len(matches.negative), -1, dtype=np.int64))
    else:
        positive = _choose_positives(score_map, config)
        negative = _choose_negatives(score_map, config)
    index = np.concatenate([positive.patch, negative.patch]).astype(np.int64)
    labels = np.repeat([1, 0], [len(positive.patch), len(negative.patch)]).astype(np.int64)
    component = np.concatenate([positive.component, negative.component]).astype(np.int64)
    xy = _positions(index, labels, score_map, features)
    if config.prune_distance > 0:
        kept = prune_opposites(xy, labels, config.prune_distance * max(features.original_size))
        xy, labels, index, component = xy[kept], labels[kept], index[kept], component[kept]
    scores = score_map.logits.reshape(-1)[index]
    return CandidatePoints(xy=xy, labels=labels, patch_index=index, scores=scores, component=component)


def _positions(index: np.ndarray, labels: np.ndarray, score_map: ScoreMap, features: PatchFeatures) -> np.ndarray:
    """[N, 2] float32 (x, y) in original pixels of chosen cells: their centres; with a finer map, its strongest pixel in
    each (the weakest for negatives), so that a point on a thin structure lies on it."""
    if score_map.detail is None:
        return patch_centers_original(features)[index]
    rows, columns = score_map.values.shape
    step = score_map.detail.shape[0] // rows
    blocks = score_map.detail.reshape(rows, step, columns, step).transpose(0, 2, 1, 3).reshape(-1, step * step)[index]
    # The middle of a block wins among equals.
    y, x = np.divmod(np.arange(step * step), step)
    middle = 1e-3 * ((y - (step - 1) / 2) ** 2 + (x - (step - 1) / 2) ** 2)
    place = (np.where(labels[:, None] == 1, blocks, -blocks) - middle).argmax(axis=1)
    row, column = np.divmod(index, columns)
    cell = np.stack([column * step + place % step, row * step + place // step], axis=1)
    xy = rescale_points(cell, score_map.detail.shape, features.original_size)
    height, width = features.original_size
    return np.clip(xy, 0, [width - 1, height - 1]).astype(np.float32)


def _choose_positives(score_map: ScoreMap, config: CandidatesConfig) -> _Choice:
    """Spreads the positives over the components, at least `per_component` each, the rest by area."""
    labelled, count = ndimage.label(score_map.foreground, EIGHT_NEIGHBOURS)
    if count == 0:
        return _Choice(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    weight = np.maximum(score_map.logits, 1e-3) * np.sqrt(ndimage.distance_transform_edt(score_map.foreground))
    mass = ndimage.sum_labels(weight, labelled, np.arange(1, count + 1))
    total = min(max(config.positives, config.per_component * count), config.max_positives)
    heaviest_first = np.argsort(-mass, kind="stable")
    chosen, component = [], []
    for place, quota in enumerate(_quotas(mass[heaviest_first], total, config)):
        members = np.flatnonzero(labelled.reshape(-1) == heaviest_first[place] + 1)
        xy = np.stack(np.unravel_index(members, labelled.shape), axis=1)
        picked = members[farthest_points(xy, weight.reshape(-1)[members], quota)]
        chosen.append(picked)
        component.append(np.full(len(picked), place))
    # By rank within the component, heaviest component first: a prefix of the positives is itself a good set.
    rank = np.concatenate([np.arange(len(picked)) for picked in chosen])
    of_component = np.concatenate(component)
    order = np.lexsort((of_component, rank))
    return _Choice(np.concatenate(chosen)[order], of_component[order])


def _quotas(mass: np.ndarray, total: int, config: CandidatesConfig) -> np.ndarray:
    """How many points each component gets: `per_component`, heaviest first while the total lasts, the rest by mass."""
    granted = np.clip(total - config.per_component * np.arange(len(mass)), 0, config.per_component)
    # Rounding the running sum shares the rest out without losing a point.
    share = np.cumsum(mass) / mass.sum() * (total - granted.sum())
    return granted + np.diff(np.round(share), prepend=0).astype(int)


def _choose_negatives(score_map: ScoreMap, config: CandidatesConfig) -> _Choice:
    """Half of the negatives from the ring around the region, half from the rest of the background."""
    if not score_map.foreground.any():
        return _Choice(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    outside = ndimage.distance_transform_edt(~score_map.foreground)
    grid = np.stack(tuple(np.mgrid[0 : outside.shape[0], 0 : outside.shape[1]]), axis=-1).reshape(-1, 2)
    # Clear background first: patches just below the threshold may be object.
    weight = np.maximum(-score_map.logits, 1e-3).reshape(-1)
    distance = outside.reshape(-1)
    ring = np.flatnonzero((distance >= 2) & (distance <= 2 + RING_PATCHES))
    near = ring[farthest_points(grid[ring], weight[ring], config.negatives - config.negatives // 2)]
    rest = np.setdiff1d(np.flatnonzero(distance >= 2), near)
    far = rest[farthest_points(grid[rest], weight[rest], config.negatives - len(near))]
    # In turn, so that a prefix of the negatives holds both kinds.
    index = np.concatenate([near, far])[np.argsort(np.r_[np.arange(len(near)), np.arange(len(far)) + 0.5])]
    return _Choice(index, np.full(len(index), -1, dtype=np.int64))


def to_mask_prompt(score_map: ScoreMap, original_size: Size, gain: float, level: float = 0.0) -> np.ndarray:
    """The score map as SAM's dense prompt, rounded as a prompt file rounds it.

    Args:
        score_map: the target's scores.
        original_size: (H, W) of the target.
        gain: logit for one unit of the score map's own logits (a standard deviation, or a unit of log odds).
        level: how much higher the threshold is, in the same units.

    Returns:
        [256, 256] float32 logits, clipped to +-20 and far negative in the padding.
    """
    fine = score_map.logits if score_map.detail is None else score_map.detail
    logits = np.clip((fine - level) * gain, -MASK_PROMPT_LIMIT, MASK_PROMPT_LIMIT)
    frame = to_low_res_frame(logits, original_size, padding=-MASK_PROMPT_LIMIT)
    return frame.astype(np.float16).astype(np.float32)


def to_box(score_map: ScoreMap, original_size: Size) -> np.ndarray | None:
    """The bounding box of the thresholded map, rounded as a prompt file rounds it.

    Args:
        score_map: the target's scores.
        original_size: (H, W) of the target.

    Returns:
        [4] float32 (x0, y0, x1, y1) in original pixels; None where nothing is above the threshold.
    """
    rows, columns = np.nonzero(score_map.foreground)
    if not len(rows):
        return None
    step_y, step_x = original_size[0] / score_map.values.shape[0], original_size[1] / score_map.values.shape[1]
    corners = [columns.min() * step_x, rows.min() * step_y, (columns.max() + 1) * step_x, (rows.max() + 1) * step_y]
    return np.array(corners, dtype=np.float32).round(3)


def to_prompts(
    candidates: CandidatePoints, score_map: ScoreMap, features: PatchFeatures, config: CandidatesConfig
) -> PointPrompts:
    """The initial prompt set: all candidates, and the box and the dense prompt where they are switched on.

    Values are rounded as a prompt file rounds them, so that a stage run from files gives the same mask bit for bit.
    """
    found = bool((candidates.labels == 1).any())
    size, gain = features.original_size, config.dense_gain if score_map.detail is None else config.prior_gain
    return PointPrompts(
        point_coords=candidates.xy.round(3),
        point_labels=candidates.labels,
        box=to_box(score_map, size) if config.box_prompt and found else None,
        mask_prompt=to_mask_prompt(score_map, size, gain) if config.dense_prompt and found else None,
    )
