"""What the other images of a folder say of a target: their first masks are further, less trusted references.

One labelled image shows one view of the object. The folder holds many more, and most first masks are nearly right, so a
classifier that learns from the reference and from the first masks of the *other* images knows more of how the object
varies. Where first masks are wrong it is misled; whether to believe it is therefore a decision for the quality head and
the policy, which see it as one more node. (Self-training over an unlabelled set is old: Scudder 1965, Yarowsky 1995.)

Measured on the 41 training classes of the benchmark, one reference, 8 targets: its prompts instead of the reference's
own changed the mean IoU by +.011 over sets, the better of the two in each image by +.035.

Legend: `R` reference patches, `P` target patches, `D` feature width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from gpoa.matching.classifier import Matcher, linear_matcher, patch_shares
from gpoa.matching.reference import Reference
from gpoa.matching.threshold import reference_threshold


@dataclass(frozen=True, eq=False, slots=True)
class ClassSums:
    """Sums over patches, each weighted by the share of it that belongs to the class.

    Args:
        mass: sum of the weights.
        moment: [D] float64 weighted sum of the tokens.
        gram: [D, D] float64 weighted sum of their outer products.
    """

    mass: float
    moment: np.ndarray
    gram: np.ndarray

    @classmethod
    def over(cls, tokens: np.ndarray, weight: np.ndarray) -> ClassSums:
        """Sums up tokens [P, D] with weights [P]; the products run in float32."""
        weighted = tokens * weight[:, None]
        return cls(
            float(weight.sum()), weighted.sum(axis=0, dtype=np.float64), (weighted.T @ tokens).astype(np.float64)
        )

    def plus(self, other: ClassSums, factor: float) -> ClassSums:
        """These sums and `factor` times others."""
        return ClassSums(
            self.mass + factor * other.mass, self.moment + factor * other.moment, self.gram + factor * other.gram
        )


Sums = tuple[ClassSums, ClassSums]
"""Foreground, background."""


class FolderMatcher:
    """A ridge classifier of the reference and of the first masks of a folder's images.

    Args:
        reference: the labelled patches.
        first_masks: image key -> (tokens [P, D] float32, foreground [P] float32 in [0, 1], the share of each patch that
            the image's first mask covers).
        trust: weight of a patch of a first mask; one of the reference weighs 1.
        penalty: L2 penalty, as in `classifier.fit_ridge`.
    """

    def __init__(
        self,
        reference: Reference,
        first_masks: Mapping[str, tuple[np.ndarray, np.ndarray]],
        trust: float,
        penalty: float,
    ) -> None:
        self.reference, self.trust, self.penalty = reference, trust, penalty
        self._own = _sums(reference.tokens, patch_shares(reference.foreground))
        self._each = {key: _sums(tokens, foreground) for key, (tokens, foreground) in first_masks.items()}
        self._all = _add(self._own, self._each.values(), trust)

    def __len__(self) -> int:
        return len(self._each)

    @property
    def keys(self) -> list[str]:
        """The images whose first masks are in it."""
        return list(self._each)

    def fit(self, leave_out: str) -> tuple[Matcher, float] | None:
        """The classifier for one target, whose own first mask has no say.

        Args:
            leave_out: key of the target.

        Returns:
            (matcher, the threshold that segments the reference best); None where no other image is known.
        """
        if not set(self._each) - {leave_out}:
            return None
        left_out = [self._each[leave_out]] if leave_out in self._each else []
        foreground, background = _add(self._all, left_out, -self.trust)
        matcher = self._solve(foreground, background)
        return matcher, reference_threshold(matcher(self.reference.tokens), self.reference.labels)

    def _solve(self, foreground: ClassSums, background: ClassSums) -> Matcher:
        """`classifier.fit_ridge` from sums: both classes weigh half of the reference's number of patches."""
        total = len(self.reference.foreground)
        a, b = total / (2 * foreground.mass), total / (2 * background.mass)
        token_sum = a * foreground.moment + b * background.moment
        target_sum = a * foreground.moment - b * background.moment
        gram = a * foreground.gram + b * background.gram
        # Both classes weigh the same, so the mean target is 0.
        mean = token_sum / total
        centred = gram - total * np.outer(mean, mean)
        return linear_matcher(centred, target_sum, mean, 0.0, self.penalty)


def _sums(tokens: np.ndarray, foreground: np.ndarray) -> Sums:
    return ClassSums.over(tokens, foreground), ClassSums.over(tokens, np.maximum(1 - foreground, 1e-9))


def _add(start: Sums, others: Iterable[Sums], factor: float) -> Sums:
    foreground, background = start
    for one, rest in others:
        foreground, background = foreground.plus(one, factor), background.plus(rest, factor)
    return foreground, background
