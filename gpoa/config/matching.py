"""How a target is compared with the reference, and which prompts come of it."""

from __future__ import annotations

from dataclasses import dataclass

from gpoa.config.names import MatcherName, SamplerName, ThresholdName, check


@dataclass(frozen=True)
class MatchingConfig:
    """How target patches are compared with the reference."""

    method: MatcherName = "prior"
    """How target patches are scored. nearest: forward nearest neighbour (GPOA); margin: mean similarity to the 5
    closest foreground patches minus that to the 5 closest background patches; soft-knn: softmax-weighted reference
    mask; ridge: class-balanced linear classifier; prior: a trained network that predicts the probability of every pixel
    from how target and reference compare."""
    prior: str | None = None
    """prior: the network's file; default: the one that comes with gpoa."""
    cycle_check: bool = False
    """nearest: keep only cycle-consistent matches, which lead back to the same class in the reference (GBMSeg)."""
    temperature: float = 0.05
    """soft-knn: softmax temperature of the cosine similarity."""
    ridge_lambda: float = 30.0
    """ridge: strength of the L2 penalty."""
    debias_components: int = 32
    """Number of positional directions (leading singular vectors of noise-image tokens) projected out of the features; 0
    disables this."""

    def __post_init__(self) -> None:
        check(
            (self.temperature > 0, f"--matching.temperature {self.temperature}: must be above 0"),
            (self.ridge_lambda > 0, f"--matching.ridge-lambda {self.ridge_lambda}: must be above 0"),
            (self.debias_components >= 0, f"--matching.debias-components {self.debias_components}: 0 or more"),
        )


@dataclass(frozen=True)
class ThresholdConfig:
    """Where foreground begins on the score map."""

    method: ThresholdName = "blend"
    """Threshold on the score map. fixed: `value`; otsu: Otsu's threshold of each target; reference: the threshold that
    best segments the reference; blend: weighted mean of otsu and reference."""
    otsu_share: float = 0.75
    """blend: weight of Otsu's threshold, 0 to 1."""
    value: float = 0.0
    """fixed: the threshold, on the matcher's score scale."""
    presence: float = 0.55
    """Report the object as absent if the best patches of a target are less similar to the reference's foreground than
    this (cosine similarity); -1 disables the check."""
    sureness: float = 0.6
    """matching.method prior: not absent, whatever the similarity, if the prior's probabilities where it sees the object
    are at least this on average; above 1 leaves the decision to the similarity."""

    def __post_init__(self) -> None:
        check(
            (self.sureness >= 0, f"--threshold.sureness {self.sureness}: 0 or more"),
            (0 <= self.otsu_share <= 1, f"--threshold.otsu-share {self.otsu_share}: from 0 to 1"),
            (-1 <= self.presence <= 1, f"--threshold.presence {self.presence}: from -1 to 1"),
        )


@dataclass(frozen=True)
class CandidatesConfig:
    """Which points are offered to the segmenter."""

    sampler: SamplerName = "farthest"
    """farthest: weighted farthest-point sampling; all: every matched patch (GPOA)."""
    positives: int = 16
    """Positive points per image; images with many connected components get more."""
    negatives: int = 16
    """Negative points per image."""
    per_component: int = 1
    """Minimum number of positive points per connected component."""
    max_positives: int = 64
    """Maximum number of positive points per image."""
    prune_distance: float = 0.0
    """Drop negative points closer to a positive point than this fraction of the longer image side (GBMSeg: 0.125); 0
    disables this."""
    dense_prompt: bool = True
    """Use the score map as SAM's mask prompt."""
    box_prompt: bool = False
    """Use the bounding box of the thresholded score map as SAM's box prompt."""
    dense_gain: float = 4.0
    """Mask prompt logits per standard deviation of the score map above the threshold."""
    prior_gain: float = 6.0
    """matching.method prior: factor from the prior's log odds to mask prompt logits."""

    def __post_init__(self) -> None:
        check(
            (self.positives >= 1, f"--candidates.positives {self.positives}: at least 1"),
            (self.negatives >= 0, f"--candidates.negatives {self.negatives}: 0 or more"),
            (self.per_component >= 1, f"--candidates.per-component {self.per_component}: at least 1"),
            (self.max_positives >= self.positives, "--candidates.max-positives is below --candidates.positives"),
            (0 <= self.prune_distance < 1, f"--candidates.prune-distance {self.prune_distance}: from 0 to below 1"),
            (self.dense_gain > 0, f"--candidates.dense-gain {self.dense_gain}: must be above 0"),
            (self.prior_gain > 0, f"--candidates.prior-gain {self.prior_gain}: must be above 0"),
        )
