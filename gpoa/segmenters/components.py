"""One prompt set for each connected component of the score map, for images with several separate objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from gpoa.geometry import patch_index_of, to_low_res_frame
from gpoa.types import PointPrompts, ScoreMap, Size

MASK_PROMPT_OUTSIDE = -20.0


def component_prompts(prompts: PointPrompts, score_map: ScoreMap | None, original_size: Size) -> list[PointPrompts]:
    """Splits a prompt set by the components of the thresholded score map.

    Each part holds one component's positives, all negatives, and the dense prompt inside of that component (grown by
    one patch). Positives outside of every component form parts of their own; components without a positive are dropped.
    The box spans all objects and is left out.

    Args:
        prompts: the joint set.
        score_map: the target's map; without one, each positive is a part of its own.
        original_size: (H, W).

    Returns:
        At least one prompt set.
    """
    positive = np.flatnonzero(prompts.point_labels == 1)
    negative = np.flatnonzero(prompts.point_labels == 0)
    if len(positive) == 0:
        return [prompts]
    if score_map is None:
        return [_part(prompts, np.array([index]), negative, None) for index in positive]
    labelled, _ = ndimage.label(score_map.foreground, np.ones((3, 3)))
    patches = patch_index_of(prompts.point_coords[positive], score_map.values.shape, original_size)
    component = labelled.reshape(-1)[patches]  # 0 outside of every component
    parts = [_part(prompts, np.array([index]), negative, None) for index in positive[component == 0]]
    for number in np.unique(component[component > 0]):
        inside = ndimage.binary_dilation(labelled == number, np.ones((3, 3)))
        dense = None
        if prompts.mask_prompt is not None:
            keep = to_low_res_frame(inside.astype(np.float32), original_size, padding=0.0) > 0.5
            dense = np.where(keep, prompts.mask_prompt, MASK_PROMPT_OUTSIDE).astype(np.float32)
        parts.append(_part(prompts, positive[component == number], negative, dense))
    return parts


def _part(
    prompts: PointPrompts, positive: np.ndarray, negative: np.ndarray, mask_prompt: np.ndarray | None
) -> PointPrompts:
    """The points of the given indices with a dense prompt of their own."""
    index = np.sort(np.concatenate([positive, negative]))
    return replace(
        prompts,
        point_coords=prompts.point_coords[index],
        point_labels=prompts.point_labels[index],
        box=None,
        mask_prompt=mask_prompt,
    )
