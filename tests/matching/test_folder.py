"""Learning from first masks of other images."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.matching.classifier import fit_ridge
from gpoa.matching.folder import FolderMatcher
from gpoa.matching.reference import Reference
from gpoa.matching.threshold import reference_threshold

TOTAL = 300


@pytest.fixture
def tokens() -> np.ndarray:
    values = np.random.default_rng(0).standard_normal((TOTAL, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def shares(tokens: np.ndarray) -> np.ndarray:
    return np.clip(3 * tokens[:, 0] + 0.3, 0, 1)


def _matcher(tokens: np.ndarray, shares: np.ndarray, trust: float = 1.0) -> FolderMatcher:
    masks = {"a": (tokens[100:200], shares[100:200]), "b": (tokens[200:], shares[200:])}
    return FolderMatcher(Reference(tokens[:100], shares[:100]), masks, trust, penalty=5.0)


@pytest.mark.parametrize("leave_out, upto", [("another image", 300), ("b", 200)])
def test_full_trust_is_a_reference_of_all_shots(tokens: np.ndarray, shares: np.ndarray, leave_out: str, upto: int):
    """With trust 1 it must be the ridge of all patches together; the penalty is per patch of the reference."""
    matcher, threshold = _matcher(tokens, shares).fit(leave_out)
    joined = fit_ridge(Reference(tokens[:upto], shares[:upto]), 5.0 * upto / 100)
    np.testing.assert_allclose(matcher(tokens), joined(tokens), atol=1e-5)
    own = shares[:100] >= 0.5
    assert threshold == pytest.approx(reference_threshold(joined(tokens[:100]), own), abs=1e-5)


def test_little_trust_is_the_reference_alone(tokens: np.ndarray, shares: np.ndarray):
    matcher, _ = _matcher(tokens, shares, trust=1e-6).fit("x")
    alone = fit_ridge(Reference(tokens[:100], shares[:100]), 5.0)
    np.testing.assert_allclose(matcher(tokens), alone(tokens), atol=1e-3)


def test_a_target_never_learns_from_its_own_mask(tokens: np.ndarray, shares: np.ndarray):
    one = _matcher(tokens, shares)
    wrong = FolderMatcher(
        one.reference, {"a": (tokens[100:200], shares[100:200]), "b": (tokens[200:], 1 - shares[200:])}, 1.0, 5.0
    )
    for left, right in zip(one.fit("b")[:1], wrong.fit("b")[:1], strict=True):
        np.testing.assert_allclose(left(tokens), right(tokens), atol=1e-5)
    assert np.abs(one.fit("a")[0](tokens) - wrong.fit("a")[0](tokens)).max() > 0.1


def test_alone_in_the_folder(tokens: np.ndarray, shares: np.ndarray):
    reference = Reference(tokens[:100], shares[:100])
    assert FolderMatcher(reference, {}, 0.3, 5.0).fit("x") is None
    assert FolderMatcher(reference, {"x": (tokens, shares)}, 0.3, 5.0).fit("x") is None
    assert FolderMatcher(reference, {"x": (tokens, shares)}, 0.3, 5.0).fit("y") is not None


def test_it_learns_what_the_reference_does_not_show():
    """The reference shows one kind of object; the others show, beside it, a second kind."""
    kinds = np.eye(4, dtype=np.float32)
    reference = Reference(np.repeat(kinds[[0, 2]], 50, axis=0), np.repeat([1.0, 0.0], 50).astype(np.float32))
    other = np.repeat(kinds[[0, 1, 2, 3]], 25, axis=0), np.repeat([1.0, 1.0, 0.0, 0.0], 25).astype(np.float32)
    alone = fit_ridge(reference, 1.0)(kinds)
    taught = FolderMatcher(reference, {"x": other}, 0.3, 1.0).fit("y")[0](kinds)
    assert alone[1] - alone[3] == pytest.approx(0, abs=1e-6)
    assert taught[1] - taught[3] > 1
