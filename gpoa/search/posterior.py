"""One mask from the prior and the segmenter, and what to expect of it.

The prior's probability of every pixel and the probabilities of the decoder's four masks are averaged. With
probabilities p the expected overlap of a mask m is the sum of p m and the expected union the sum of p + m - p m; their
quotient is close to the expected IoU (the error of a ratio of means falls with the area). It needs no second network
and a millisecond a mask.

Legend: `M` masks, all in SAM's padded low-resolution frame of 256 x 256 cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpoa.matching.candidates import to_mask_prompt
from gpoa.search.strategies import Optimized, Trial, fingerprint, keep_first
from gpoa.types import DENSE_OUTPUT, MaskPrediction, PointPrompts, ScoreMap, Size

OUTPUTS = 4
"""Masks of a decoder call."""
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
        return cls.of_logits(to_mask_prompt(score_map, original_size, 1.0))

    @classmethod
    def of_logits(cls, logits: np.ndarray) -> Posterior:
        """From log odds [256, 256] in SAM's frame."""
        return cls((1 / (1 + np.exp(-logits))).astype(np.float32))

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


CONSTANT, WEIGHT = 0.1, 0.88
"""An expected IoU under the prior as an estimate of the true one; what SAM says of its own masks added nothing."""
FUSED_CONSTANT, FUSED_WEIGHT = 0.026, 0.941
"""The same for the fused mask under its own probabilities. All fitted on validation classes (checkpoints/prior.md)."""
MARGIN = 0.1
"""The fused mask is left only for a score that is higher by more than this; chosen on validation classes."""


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
    margin: float = MARGIN,
) -> Optimized:
    """Decodes prompt sets and fuses the initial set's masks with the prior.

    Args:
        sets: (name, prompts), the initial set first.
        decode: the segmenter on this image.
        score_map: log odds of the same image.
        original_size: (H, W).
        budget: decoder calls.
        margin: the fused mask is left only for another one whose score is higher by more than this.

    Returns:
        The best trial and all trials: the four masks of each set, the start first, then the prior's own and the fused.
    """
    odds = to_mask_prompt(score_map, original_size, 1.0)
    posterior = Posterior.of_logits(odds)
    trials: list[Trial] = []
    seen: set[tuple] = set()
    for name, prompts in sets:
        if len(seen) == budget:
            break
        if prompts.is_empty or fingerprint(prompts) in seen:
            continue
        seen.add(fingerprint(prompts))
        trials += _judged(name, prompts, decode([prompts]), posterior)
    fused = _fused(trials[:OUTPUTS], posterior)
    trials.append(_dense_trial("prior", trials[0].prompts, odds, _score(posterior, odds)))
    best = max(trials, key=lambda trial: trial.score)
    ours = _score(posterior, fused.logits)  # on the scale of the others
    return Optimized(best if best.score > ours + margin else fused, [*trials, fused])


def prior_itself(start: PointPrompts, score_map: ScoreMap, original_size: Size) -> Trial:
    """The prior's own mask, which no decoder made, as a trial.

    Args:
        start: the initial set, whose points are kept for the picture.
        score_map: log odds.
        original_size: (H, W).
    """
    odds = to_mask_prompt(score_map, original_size, 1.0)
    return _dense_trial("prior", start, odds, _score(Posterior.of_logits(odds), odds))


def _fused(masks: Sequence[Trial], posterior: Posterior) -> Trial:
    """The mean of the prior's probability and of the mean probability that the decoder's masks give.

    The prior knows what is the object, the segmenter where its border runs. On validation classes the mean beats both,
    and every choice between them that was tried (checkpoints/prior.md); on held-out ones it equals the segmenter's mask
    (scripts/RESULTS.md).
    """
    decoded = np.mean([1 / (1 + np.exp(-trial.logits)) for trial in masks], axis=0)
    mean = (posterior.probability + decoded) / 2
    logits = np.log(np.clip(mean, 1e-6, 1) / np.clip(1 - mean, 1e-6, 1)).astype(np.float16).astype(np.float32)
    score = _score(Posterior(mean.astype(np.float32)), logits, FUSED_CONSTANT, FUSED_WEIGHT)
    return _dense_trial("fused", masks[0].prompts, logits, score)


def _dense_trial(name: str, start: PointPrompts, logits: np.ndarray, score: float) -> Trial:
    """A mask that no decoder made: it is its own dense prompt."""
    return Trial(name, replace(start, mask_prompt=logits, mask_output=DENSE_OUTPUT), logits, score, score)


def _score(posterior: Posterior, logits: np.ndarray, constant: float = CONSTANT, weight: float = WEIGHT) -> float:
    """The estimate of a mask's true IoU."""
    return float(np.clip(constant + weight * posterior.expected_iou(logits[None] > 0)[0], 0, 1))


def _judged(name: str, prompts: PointPrompts, prediction: MaskPrediction, posterior: Posterior) -> list[Trial]:
    """One trial for each of the decoder's masks of a set."""
    trials = []
    for output, (logits, iou) in enumerate(
        zip(prediction.low_res_logits[0], prediction.iou_predictions[0], strict=True)
    ):
        named = name if output == 0 else f"{name}, output {output}"
        trials.append(
            Trial(named, replace(prompts, mask_output=output), logits, float(iou), _score(posterior, logits))
        )
    return trials
