"""Every choice of the pipeline as one nested, frozen, checked value.

The field docstrings are the command line's help. `resolve()`d configs are saved with everything that is computed, and
`digest` names the part of a config that shapes a result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from gpoa.errors import ConfigError

MatcherName = Literal["nearest", "margin", "soft-knn", "ridge"]
ThresholdName = Literal["fixed", "otsu", "reference", "blend"]
SamplerName = Literal["farthest", "all"]
StrategyName = Literal["none", "random", "best-of-n", "greedy"]
JudgeName = Literal["sam-iou", "stability", "agreement", "separability", "mixed"]


def _check(*rules: tuple[bool, str]) -> None:
    """Raises one ConfigError with every broken rule."""
    broken = [text for holds, text in rules if not holds]
    if broken:
        raise ConfigError("; ".join(broken))


@dataclass(frozen=True)
class ModelsConfig:
    """Which frozen models are used, and where they run."""

    features: str = "dinov2-small"
    """Feature model: a name from `gpoa models list`, or a folder that holds a transformers DINOv2."""
    segmenter: str = "mobile_sam"
    """Segmenter: a name from `gpoa models list`."""
    device: str = "auto"
    """auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1, mps."""
    checkpoints: str | None = None
    """Folder of the models; default: $GPOA_CHECKPOINTS, else ./checkpoints if it exists, else the user's cache."""


@dataclass(frozen=True)
class FeaturesConfig:
    """How images become patch tokens."""

    image_size: int = 560
    """Side of the square that the feature model sees, in pixels; a multiple of the model's patch size."""
    layers: tuple[int, ...] = (9, 12)
    """Layers whose tokens are joined, counted from 1 (12 is the last of DINOv2 S and B; L has 24, g has 40)."""

    def __post_init__(self) -> None:
        _check(
            (self.image_size >= 56, f"--features.image-size {self.image_size}: at least 56 is needed"),
            (bool(self.layers) and min(self.layers) >= 1, "--features.layers: one or more layers, counted from 1"),
        )


@dataclass(frozen=True)
class MatchingConfig:
    """How target patches are compared with the reference."""

    method: MatcherName = "ridge"
    """nearest: GPOA's forward nearest neighbour; margin: top-5 foreground minus top-5 background similarity; soft-knn:
    softmax-weighted reference mask; ridge: class-balanced linear classifier."""
    cycle_check: bool = False
    """nearest only: keep a match only if it leads back to its own class in the reference (GBMSeg)."""
    temperature: float = 0.05
    """soft-knn: softmax temperature on the cosine similarity."""
    ridge_lambda: float = 30.0
    """ridge: L2 penalty."""
    debias_components: int = 32
    """Leading singular directions of noise-image tokens that are projected out (they encode the position); 0 is off."""

    def __post_init__(self) -> None:
        _check(
            (self.temperature > 0, f"--matching.temperature {self.temperature}: must be above 0"),
            (self.ridge_lambda > 0, f"--matching.ridge-lambda {self.ridge_lambda}: must be above 0"),
            (self.debias_components >= 0, f"--matching.debias-components {self.debias_components}: 0 or more"),
        )


@dataclass(frozen=True)
class ThresholdConfig:
    """Where foreground begins on the score map."""

    method: ThresholdName = "blend"
    """fixed: `value`; otsu: Otsu's threshold of the target's own scores; reference: the threshold that segments the
    reference best; blend: their weighted mean."""
    otsu_share: float = 0.75
    """blend: weight of Otsu's threshold, from 0 to 1."""
    value: float = 0.0
    """fixed: the threshold, on the matcher's own scale."""
    presence: float = 0.55
    """The object counts as absent where the target's best patches are less similar (cosine) than this to the reference's
    foreground; -1 is off."""

    def __post_init__(self) -> None:
        _check(
            (0 <= self.otsu_share <= 1, f"--threshold.otsu-share {self.otsu_share}: from 0 to 1"),
            (-1 <= self.presence <= 1, f"--threshold.presence {self.presence}: from -1 to 1"),
        )


@dataclass(frozen=True)
class CandidatesConfig:
    """Which points are offered to the segmenter."""

    sampler: SamplerName = "farthest"
    """farthest: weighted farthest-point sampling; all: every matched patch, as GPOA does."""
    positives: int = 16
    """Positive points an image, before the extra ones for many components."""
    negatives: int = 16
    """Negative points an image."""
    per_component: int = 1
    """At least this many positives for each connected component (the total grows with the components)."""
    max_positives: int = 64
    """Never more positives than this."""
    prune_distance: float = 0.0
    """Negatives nearer than this share of the longest image side to a positive are dropped; GBMSeg: 0.125; 0 is off."""
    dense_prompt: bool = True
    """Give the score map as SAM's mask prompt."""
    box_prompt: bool = False
    """Give the bounding box of the thresholded map as SAM's box."""
    dense_gain: float = 4.0
    """Logit that one standard deviation of the score map above the threshold becomes in the mask prompt."""

    def __post_init__(self) -> None:
        _check(
            (self.positives >= 1, f"--candidates.positives {self.positives}: at least 1"),
            (self.negatives >= 0, f"--candidates.negatives {self.negatives}: 0 or more"),
            (self.per_component >= 1, f"--candidates.per-component {self.per_component}: at least 1"),
            (self.max_positives >= self.positives, "--candidates.max-positives is below --candidates.positives"),
            (0 <= self.prune_distance < 1, f"--candidates.prune-distance {self.prune_distance}: from 0 to below 1"),
            (self.dense_gain > 0, f"--candidates.dense-gain {self.dense_gain}: must be above 0"),
        )


@dataclass(frozen=True)
class OptimizeConfig:
    """How a prompt set is improved without ground truth."""

    strategy: StrategyName = "none"
    """none: the initial set; random: a random subset as GPOA's released optimiser keeps; best-of-n: the best of several
    sets; greedy: toggle one group at a time."""
    budget: int = 6
    """Decoder calls an image, the start included."""
    judge: JudgeName = "mixed"
    """The score without ground truth by which sets are compared."""
    margin: float = 0.02
    """The start is left only for a set whose judge's score is higher by more than this."""
    seed: int = 0
    """Seed of every random choice."""

    def __post_init__(self) -> None:
        _check(
            (self.budget >= 1, f"--budget {self.budget}: at least 1 decoder call is needed"),
            (self.margin >= 0, f"--optimize.margin {self.margin}: 0 or more"),
        )


@dataclass(frozen=True)
class SegmentConfig:
    """How prompts become a mask."""

    mode: Literal["joint", "components"] = "joint"
    """joint: one call with all prompts; components: one call for each connected component, masks united."""
    multimask: Literal["single", "best", "largest"] = "single"
    """single: SAM's single-mask output (right for many prompts); best: the one of its three masks with the highest
    predicted IoU; largest: the largest of the three."""


@dataclass(frozen=True)
class GpoaConfig:
    """Everything that shapes a mask."""

    models: ModelsConfig = field(default_factory=ModelsConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)
    optimize: OptimizeConfig = field(default_factory=OptimizeConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """The config as nested plain values, ready for JSON."""
    return dataclasses.asdict(config)


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits that name the values of the given configs or plain values."""
    plain = [dataclasses.asdict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
