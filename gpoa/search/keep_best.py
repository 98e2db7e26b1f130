"""The set that is handed out: the best one visited by the quality head, never simply the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from gpoa.envs.episode import PromptEpisode
from gpoa.graph.nodes import OUTPUTS
from gpoa.policies.batch import stack_maps
from gpoa.policies.quality import QualityHead


class Judged(NamedTuple):
    """One mask and what the quality head thinks of it.

    Args:
        active: [N] bool the set, its output node included.
        iou: expected IoU in [0, 1].
        gain: expected IoU above that of the start.
    """

    active: np.ndarray
    iou: float
    gain: float


def judge_sets(
    quality: QualityHead, episode: PromptEpisode, sets: Sequence[np.ndarray], outputs: bool = True
) -> list[Judged]:
    """Judges sets that were decoded.

    Args:
        quality: the quality head.
        episode: whose sets they are.
        sets: [N] bool each; the first is the start.
        outputs: also judge the masks of a set's other outputs, which cost no further call.

    Returns:
        One entry for each mask, the start first, no mask twice.
    """
    wanted: dict[bytes, np.ndarray] = {}
    for active in sets:
        choices = [active]
        if outputs:
            choices += [episode.nodes.with_output(active, number) for number in range(OUTPUTS)]
        for choice in choices:
            wanted.setdefault(choice.tobytes(), choice)
    masks = list(wanted.values())
    parts = []
    for active in masks:
        parts.append(mask_parts(episode, active))
    with torch.inference_mode():
        answer = quality(stack_maps(parts))
    gains = (answer.gain - answer.gain[0]).tolist()
    return [Judged(*one) for one in zip(masks, answer.iou.tolist(), gains, strict=True)]


def mask_parts(episode: PromptEpisode, active: np.ndarray) -> tuple[np.ndarray, ...]:
    """What `policies.batch.stack_maps` takes, of one decoded set."""
    feedback, output = episode.feedback(active), episode.nodes.output(active)
    reading = feedback.readings[output]
    return episode.view.image_maps, reading.maps, reading.reference_maps, reading.scalars, feedback.differences[output]


def keep_best(judged: Sequence[Judged], margin: float) -> Judged:
    """The best of them; the start (the first) is left only for one that is better by more than the margin.

    Args:
        judged: from `judge_sets`.
        margin: 0 or more; the judge errs.
    """
    best = max(judged, key=lambda one: one.gain)
    return best if best.gain > margin else judged[0]
