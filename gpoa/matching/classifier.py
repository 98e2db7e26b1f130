"""Matchers: a score for every target patch, learned from the labelled patches of the reference.

Every matcher is fitted once to a reference and applied to any number of targets. Measured side by side by
`scripts/benchmark_quick.py`.

Legend: `R` reference patches, `P` target patches, `D` feature width, `C` directions projected out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import linalg

from gpoa.config import MatchingConfig
from gpoa.matching.reference import Reference

Matcher = Callable[[np.ndarray], np.ndarray]
"""Target tokens [P, D] -> foreground score [P]; larger is more foreground."""

MARGIN_NEIGHBOURS = 5


def fit_matcher(config: MatchingConfig, reference: Reference) -> Matcher:
    """Fits the configured matcher.

    Args:
        config: the method and its parameters.
        reference: labelled patches (already de-biased where that is wanted).

    Returns:
        A function from target tokens to scores.
    """
    if config.method in ("nearest", "margin"):
        return fit_margin(reference, 1 if config.method == "nearest" else MARGIN_NEIGHBOURS)
    if config.method == "soft-knn":
        return fit_soft_knn(reference, config.temperature)
    return fit_ridge(reference, config.ridge_lambda)


def fit_margin(reference: Reference, neighbours: int) -> Matcher:
    """Mean similarity to the nearest foreground patches minus that to the nearest background patches.

    Args:
        reference: labelled patches.
        neighbours: how many nearest patches of each class.

    Returns:
        The matcher; scores lie in [-2, 2], 0 where both classes are equally near.
    """
    labels = reference.labels
    return lambda tokens: margin(tokens @ reference.tokens.T, labels, neighbours)


def margin(similarity: np.ndarray, labels: np.ndarray, neighbours: int) -> np.ndarray:
    """Mean similarity to the nearest foreground patches minus that to the nearest background patches.

    Args:
        similarity: [P, R] cosines of target and reference patches.
        labels: [R] bool, foreground.
        neighbours: how many nearest patches of each class.

    Returns:
        [P] in [-2, 2].
    """
    import torch

    def top_mean(part: np.ndarray) -> np.ndarray:
        nearest = torch.topk(torch.from_numpy(part), min(neighbours, part.shape[1]), dim=1, sorted=False).values
        return nearest.mean(dim=1).numpy()

    return top_mean(similarity[:, labels]) - top_mean(similarity[:, ~labels])


def fit_soft_knn(reference: Reference, temperature: float) -> Matcher:
    """Reference mask averaged with softmax weights of the cosine similarity.

    Args:
        reference: labelled patches.
        temperature: of the softmax.

    Returns:
        The matcher; scores lie in [0, 1].
    """
    return lambda tokens: soft_share(tokens @ reference.tokens.T, reference.foreground, temperature)


def soft_share(similarity: np.ndarray, foreground: np.ndarray, temperature: float) -> np.ndarray:
    """The reference mask averaged with softmax weights of the similarity.

    Args:
        similarity: [P, R] cosines of target and reference patches.
        foreground: [R] in [0, 1].
        temperature: of the softmax.

    Returns:
        [P] in [0, 1].
    """
    weights = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / temperature)
    return (weights @ foreground) / weights.sum(axis=1)


def fit_ridge(reference: Reference, penalty: float) -> Matcher:
    """Class-balanced ridge regression of the label (-1, +1) on the tokens, with a free intercept.

    Args:
        reference: labelled patches.
        penalty: L2 penalty on the weights, where each class weighs R / 2 in total.

    Returns:
        The matcher; scores lie about in [-1, 1].
    """
    return fit_ridges(reference, [penalty])[0]


def fit_ridges(reference: Reference, penalties: Sequence[float]) -> list[Matcher]:
    """`fit_ridge` at several penalties, which share the products of the tokens."""
    share = patch_shares(reference.foreground)
    rest = np.maximum(1 - share, 1e-9)  # never no background at all
    count = len(share)
    # A patch counts for both classes, by the share that each covers; so the edge of the mask is not a label error.
    positive = share * count / (2 * share.sum())
    negative = rest * count / (2 * rest.sum())
    weight, target = positive + negative, (positive - negative) / (positive + negative)
    mean_token = weight @ reference.tokens / weight.sum()
    mean_target = (weight * target).sum() / weight.sum()
    centred = reference.tokens - mean_token
    weighted = centred * weight[:, None]
    # The products run in float32 (the judge fits one ridge a trial), the solve in float64.
    gram = (weighted.T @ centred).astype(np.float64)
    moment = weighted.T @ (target - mean_target)
    return [linear_matcher(gram, moment, mean_token, mean_target, penalty) for penalty in penalties]


def linear_matcher(
    gram: np.ndarray, moment: np.ndarray, mean_token: np.ndarray, mean_target: float, penalty: float
) -> Matcher:
    """The matcher of a ridge regression, from the weighted products of centred tokens.

    Args:
        gram: [D, D] float64 products of the tokens.
        moment: [D] products of tokens and targets.
        mean_token: [D] weighted mean of the tokens.
        mean_target: weighted mean of the targets.
        penalty: L2 penalty on the weights.

    Returns:
        The matcher.
    """
    system = gram + penalty * np.eye(len(gram))
    slope = linalg.cho_solve(linalg.cho_factor(system, overwrite_a=True, check_finite=False), moment).astype(np.float32)
    intercept = np.float32(mean_target - mean_token @ slope)
    return lambda tokens: tokens @ slope + intercept


def patch_shares(foreground: np.ndarray) -> np.ndarray:
    """[R] how far each patch is foreground; where none is covered by half (a tiny object), the patches covered most
    stand for it."""
    return foreground if foreground.max() >= 0.5 else foreground / foreground.max()
