"""Choosing among masks by the prior: the expected IoU of a mask when every pixel is foreground with its own
probability.

With probabilities p the expected overlap of a mask m is the sum of p m and the expected union the sum of p + m - p m;
their quotient is close to the expected IoU (the error of a ratio of means falls with the area). It needs no second
network and a millisecond a mask. What the segmenter says of its own mask is mixed in, with weights fitted on validation
classes.

Legend: `M` masks, all in SAM's padded low-resolution frame of 256 x 256 cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpoa.matching.candidates import to_mask_prompt
from gpoa.search.strategies import Optimized, Trial, fingerprint, keep_first
from gpoa.types import DENSE_OUTPUT, MaskPrediction, PointPrompts, ScoreMap, Size

DecodeAll = Callable[[Sequence[PointPrompts]], MaskPrediction]
"""B prompt sets of one image -> all four masks of each."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Foreground probabilities of one image in SAM's frame.

    Args:
        probability: [256, 256] float32 in [0, 1], 0 in the padding.
    """

    probability: np.ndarray

    @classmethod
    def of(cls, score_map: ScoreMap, original_size: Size) -> Posterior:
        """From a score map whose logits are log odds."""
        frame = to_mask_prompt(score_map, original_size, 1.0)
        return cls((1 / (1 + np.exp(-frame))).astype(np.float32))

    def expected_iou(self, masks: np.ndarray) -> np.ndarray:
        """The expected IoU of masks with the truth.

        Args:
            masks: [M, 256, 256] bool.

        Returns:
            [M] float32 in [0, 1].
        """
        flat = masks.reshape(len(masks), -1).astype(np.float32)
        shared, area = flat @ self.probability.reshape(-1), flat.sum(axis=1)
        return shared / np.maximum(self.probability.sum() + area - shared, 1e-6)


@dataclass(frozen=True)
class JudgeWeights:
    """How the expected IoU and SAM's own estimate make a score, which is an estimate of the true IoU.

    Args:
        constant: added.
        expected: weight of the expected IoU.
        sam: weight of SAM's predicted IoU, clipped to [0, 1].
        stability: weight of SAM's stability score.
        prior: added to the prior's own mask, which is at an advantage where the prior judges itself.
    """

    constant: float = 0.0
    expected: float = 1.0
    sam: float = 0.0
    stability: float = 0.0
    prior: float = 0.0


WEIGHTS = JudgeWeights(constant=0.1, expected=0.88)
"""Fitted on validation classes, where what SAM says of its masks added nothing (checkpoints/prior.md)."""
MARGIN = 0.045
"""The start is left only for a score that is higher by more than this; chosen on validation classes."""


def prompt_sets(
    start: PointPrompts, score_map: ScoreMap, original_size: Size, gain: float
) -> Iterator[tuple[str, PointPrompts]]:
    """The fixed list of prompt sets, most useful first.

    Args:
        start: the initial set, which is the first.
        score_map: log odds.
        original_size: (H, W).
        gain: of dense prompts.
    """
    yield "start", start
    yield "points only", replace(start, mask_prompt=None)
    yield "dense only", keep_first(start, 0, 0)
    for level in (-1.0, 1.0):
        dense = to_mask_prompt(score_map, original_size, gain, level)
        yield f"dense at {level:+g}", replace(start, mask_prompt=dense)
    yield "4 positives", keep_first(start, 4, len(start.point_labels))
    yield "no negatives", keep_first(start, len(start.point_labels), 0)
    yield "4 + 4, points only", replace(keep_first(start, 4, 4), mask_prompt=None)


def choose_by_posterior(
    sets: Iterator[tuple[str, PointPrompts]],
    decode: DecodeAll,
    score_map: ScoreMap,
    original_size: Size,
    budget: int,
    weights: JudgeWeights = WEIGHTS,
    margin: float = MARGIN,
) -> Optimized:
    """Decodes prompt sets and keeps the mask with the highest score; the prior's own mask takes part.

    Args:
        sets: (name, prompts), the initial set first.
        decode: the segmenter on this image.
        score_map: log odds of the same image.
        original_size: (H, W).
        budget: decoder calls.
        weights: how scores are made.
        margin: the start is left only for a score that is higher by more than this.

    Returns:
        The best trial and all trials, one a mask; the first is the start.
    """
    posterior = Posterior.of(score_map, original_size)
    trials: list[Trial] = []
    seen: set[tuple] = set()
    for name, prompts in sets:
        if len(seen) == budget:
            break
        if prompts.is_empty or fingerprint(prompts) in seen:
            continue
        seen.add(fingerprint(prompts))
        trials += _judged(name, prompts, decode([prompts]), posterior, weights)
    own = prior_itself(trials[0].prompts, score_map, original_size, weights)
    best = max([*trials, own], key=lambda trial: trial.score)
    return Optimized(best if best.score > trials[0].score + margin else trials[0], [*trials, own])


def prior_itself(
    start: PointPrompts, score_map: ScoreMap, original_size: Size, weights: JudgeWeights = WEIGHTS
) -> Trial:
    """The prior's own mask, which no decoder made, as a trial.

    Args:
        start: the initial set, whose points are kept for the picture.
        score_map: log odds.
        original_size: (H, W).
        weights: how scores are made.
    """
    logits = to_mask_prompt(score_map, original_size, 1.0)
    mean = float(Posterior.of(score_map, original_size).expected_iou(logits[None] > 0)[0])
    score = float(np.clip(weights.constant + weights.expected * mean + weights.prior, 0, 1))
    return Trial("prior", replace(start, mask_prompt=logits, mask_output=DENSE_OUTPUT), logits, mean, score)


def _judged(
    name: str, prompts: PointPrompts, prediction: MaskPrediction, posterior: Posterior, weights: JudgeWeights
) -> list[Trial]:
    """One trial for each of the decoder's masks of a set."""
    logits, own = prediction.low_res_logits[0], prediction.iou_predictions[0]
    expected = posterior.expected_iou(logits > 0)
    trials = []
    for output, (one, iou, mean) in enumerate(zip(logits, own, expected, strict=True)):
        inner, outer = (one > 1).sum(), max(int((one > -1).sum()), 1)
        score = weights.constant + weights.expected * mean + weights.sam * np.clip(iou, 0, 1)
        score = float(np.clip(score + weights.stability * inner / outer, 0, 1))
        named = name if output == 0 else f"{name}, output {output}"
        trials.append(Trial(named, replace(prompts, mask_output=output), one, float(iou), score))
    return trials
