"""Matchers on tokens small enough to score by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpoa.config import MatchingConfig
from gpoa.matching.classifier import MARGIN_NEIGHBOURS, fit_margin, fit_matcher, fit_ridge, fit_soft_knn
from gpoa.matching.reference import Reference
from tests.matching.builders import on_circle


def _reference(tokens: list, foreground: list[float]) -> Reference:
    return Reference(np.array(tokens, dtype=np.float32), np.array(foreground, dtype=np.float32))


@pytest.mark.parametrize(
    ("neighbours", "token", "score"),
    [
        (1, [1, 0], 1.0),  # 1 - 0
        (1, [0, 1], -0.2),  # .8 - 1
        (2, [1, 0], 0.8),  # (1 + .6) / 2 - 0
        (5, [0, 1], -0.6),  # only two foreground patches: (.8 + 0) / 2 - 1
    ],
)
def test_margin(neighbours: int, token: list, score: float) -> None:
    matcher = fit_margin(_reference([[1, 0], [0.6, 0.8], [0, 1]], [1, 1, 0]), neighbours)
    assert matcher(np.array([token], dtype=np.float32)) == pytest.approx([score], abs=1e-6)


@pytest.mark.parametrize(
    ("temperature", "token", "score"),
    [
        (1.0, [1, 0], 0.7310586),  # e / (e + 1)
        (1.0, [0, 1], 0.2689414),  # 1 / (e + 1)
        (0.5, [1, 0], 0.8807971),  # e^2 / (e^2 + 1)
        (0.001, [1, 0], 1.0),  # e^1000 does not overflow
    ],
)
def test_soft_knn(temperature: float, token: list, score: float) -> None:
    matcher = fit_soft_knn(_reference([[1, 0], [0, 1]], [1, 0]), temperature)
    assert matcher(np.array([token], dtype=np.float32)) == pytest.approx([score], abs=1e-6)


@pytest.mark.parametrize(
    ("background", "penalty", "slope"),
    [
        (1, 2.0, 0.5),  # two patches of weight 1 at x = +-1: 2 / (2 + 2)
        (9, 10.0, 0.5),  # ten patches, 5 a class: 10 / (10 + 10), and no pull towards the larger class
        (1, 1e-9, 1.0),  # no penalty: labels are met exactly
    ],
)
def test_ridge_by_hand(background: int, penalty: float, slope: float) -> None:
    matcher = fit_ridge(_reference([[1, 0]] + [[-1, 0]] * background, [1] + [0] * background), penalty)
    scores = matcher(np.array([[1, 0], [-1, 0], [0, 1]], dtype=np.float32))
    assert scores == pytest.approx([slope, -slope, 0.0], abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 10.0]))
def test_ridge_solves_the_weighted_normal_equations(seed: int, penalty: float) -> None:
    """Every patch stands there twice, as a positive and as a negative, weighted by its share; the intercept is free."""
    rng = np.random.default_rng(seed)
    tokens, share = rng.normal(size=(7, 3)).astype(np.float32), rng.random(7).astype(np.float32)
    share[:2] = 0.0, 1.0
    positive, negative = share * 3.5 / share.sum(), (1 - share) * 3.5 / (1 - share).sum()
    design = np.c_[np.ones(7), tokens].astype(np.float64)
    gram = design.T @ np.diag(positive + negative) @ design + penalty * np.diag([0, 1, 1, 1])
    solution = np.linalg.solve(gram, design.T @ (positive - negative))
    probe = rng.normal(size=(4, 3)).astype(np.float32)
    expected = np.c_[np.ones(4), probe] @ solution
    assert fit_ridge(Reference(tokens, share), penalty)(probe) == pytest.approx(expected, abs=2e-4)


def test_ridge_tiny_object_counts_as_whole_patch() -> None:
    tokens = on_circle(0, 90, 120)
    scores = [
        fit_ridge(Reference(tokens, np.array(share, np.float32)), 1.0)(tokens) for share in ([0.3, 0, 0], [1, 0, 0])
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


@pytest.mark.parametrize("method", ["nearest", "margin", "soft-knn", "ridge"])
def test_every_matcher_parts_separable_tokens(method: str) -> None:
    reference = Reference(on_circle(0, 5, 90, 95), np.array([1, 1, 0, 0], np.float32))
    scores = fit_matcher(MatchingConfig(method=method), reference)(on_circle(2, 93, 3))
    assert scores.shape == (3,)
    assert min(scores[0], scores[2]) > scores[1] + 0.05


def test_fit_matcher_uses_the_config() -> None:
    reference = Reference(on_circle(0, 20, 40, 90, 120), np.array([1, 1, 1, 0, 0], np.float32))
    probe = on_circle(10, 70)
    expected = {
        MatchingConfig(method="nearest"): fit_margin(reference, 1),
        MatchingConfig(method="margin"): fit_margin(reference, MARGIN_NEIGHBOURS),
        MatchingConfig(method="soft-knn", temperature=0.3): fit_soft_knn(reference, 0.3),
        MatchingConfig(method="ridge", ridge_lambda=3.0): fit_ridge(reference, 3.0),
    }
    results = [fit_matcher(config, reference)(probe) for config in expected]
    for result, matcher in zip(results, expected.values(), strict=True):
        np.testing.assert_array_equal(result, matcher(probe))
    assert len({result.tobytes() for result in results}) == 4
