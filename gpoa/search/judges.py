"""Scores of a mask without ground truth, by which prompt sets of one image are compared.

Legend: `P` patches, `D` feature width, `R` reference patches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gpoa.config import JudgeName
from gpoa.geometry import logits_to_patches
from gpoa.matching.classifier import fit_ridge
from gpoa.matching.reference import Reference
from gpoa.matching.relational_maps import RIDGE_PENALTY, random_projection, says_nothing, soft_iou, stability
from gpoa.types import PatchFeatures, ScoreMap

MIXTURE = ("sam-iou", "agreement", "separability", "reverse")


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """What is known of one target besides SAM's answer.

    Args:
        score_map: its scores, or None (the agreement is then left out).
        features: its features (de-biased where matching is).
        reference: the labelled patches, or None where they are not at hand (the reverse check is then left out).
    """

    score_map: ScoreMap | None
    features: PatchFeatures
    reference: Reference | None = None


Judge = Callable[[np.ndarray, float], float]
"""(low-resolution logits [256, 256], SAM's predicted IoU) -> score, larger is better."""


def make_judge(name: JudgeName, evidence: Evidence) -> Judge:
    """Builds a judge for one image.

    Args:
        name: sam-iou, SAM's predicted IoU; stability, IoU of the mask at logits +1 and -1; agreement, soft IoU of the
            mask with the score map; separability, how well a ridge on the target's own tokens reproduces the mask;
            reverse, how well that ridge segments the reference; mixed, the mean of all but stability.
        evidence: what is known of the image.

    Returns:
        The judge; scores lie in [0, 1].
    """

    reduced = reduce_width(evidence)

    def judge(logits: np.ndarray, predicted_iou: float) -> float:
        if name == "sam-iou":
            return float(np.clip(predicted_iou, 0.0, 1.0))
        if name == "stability":
            return stability(logits)
        parts = relational_scores(logits, reduced)
        if name != "mixed":
            return parts[name]
        parts["sam-iou"] = float(np.clip(predicted_iou, 0.0, 1.0))
        return float(np.mean([parts[part] for part in MIXTURE if part in parts]))

    return judge


def relational_scores(logits: np.ndarray, evidence: Evidence) -> dict[str, float]:
    """The scores that compare a mask with the features.

    Args:
        logits: [256, 256] float32.
        evidence: what is known of the image, reduced (see `reduce_width`) where speed matters.

    Returns:
        separability, agreement where there is a score map, reverse where there is a reference; each in [0, 1], 0 for an
        empty or a full mask.
    """
    features = evidence.features
    mask = logits_to_patches(logits, features.original_size, features.grid_size).reshape(-1)
    scores = {"separability": 0.0}
    scores |= {"agreement": 0.0} if evidence.score_map is not None else {}
    scores |= {"reverse": 0.0} if evidence.reference is not None else {}
    if says_nothing(mask):
        return scores
    matcher = fit_ridge(Reference(tokens=features.tokens, foreground=mask), RIDGE_PENALTY)
    scores["separability"] = soft_iou(mask, (matcher(features.tokens) > 0).astype(np.float32))
    if evidence.score_map is not None:
        expected = 1.0 / (1.0 + np.exp(-2.0 * evidence.score_map.logits.reshape(-1)))
        scores["agreement"] = soft_iou(mask, expected)
    if evidence.reference is not None:
        back = matcher(evidence.reference.tokens) > 0
        scores["reverse"] = soft_iou(evidence.reference.foreground, back.astype(np.float32))
    return scores


def reduce_width(evidence: Evidence) -> Evidence:
    """Projects all tokens on the same 256 random directions (Johnson and Lindenstrauss), so that a judgement is cheap.

    Tokens that are narrow already stay as they are.
    """
    projection = random_projection(evidence.features.tokens.shape[1])
    if projection is None:
        return evidence
    features = replace(evidence.features, tokens=evidence.features.tokens @ projection)
    reference = evidence.reference
    if reference is not None:
        reference = Reference(tokens=reference.tokens @ projection, foreground=reference.foreground)
    return replace(evidence, features=features, reference=reference)
