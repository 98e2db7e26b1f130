"""Every choice of the pipeline as one nested, frozen, checked value.

The field docstrings are the command line's help. `resolve()`d configs are saved with everything that is computed, and
`digest` names the part of a config that shapes a result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from gpoa.errors import ConfigError

MatcherName = Literal["nearest", "margin", "soft-knn", "ridge"]
ThresholdName = Literal["fixed", "otsu", "reference", "blend"]
SamplerName = Literal["farthest", "all"]
StrategyName = Literal["auto", "none", "random", "best-of-n", "greedy", "agent", "agent-search", "quality"]
LEARNED = ("agent", "agent-search", "quality")
"""Strategies that need a trained policy."""
JudgeName = Literal["sam-iou", "stability", "agreement", "separability", "mixed"]
RewardName = Literal["iou", "dice-boundary", "graph"]
AlgorithmName = Literal["rloo", "ppo", "dqn"]
TrackerName = Literal["wandb", "mlflow"]
MultimaskName = Literal["single", "best", "largest"]
PrecisionName = Literal["float32", "bfloat16", "float16", "auto"]


def _check(*rules: tuple[bool, str]) -> None:
    """Raises one ConfigError with every broken rule."""
    broken = [text for holds, text in rules if not holds]
    if broken:
        raise ConfigError("; ".join(broken))


@dataclass(frozen=True)
class ReadingConfig:
    """How image files become 8-bit RGB."""

    pages: tuple[str, ...] = ("all",)
    """Of stacks and animations: all; first; max (maximum projection); or numbers from 0 and ranges of them: 0 3 5-9."""
    channels: tuple[int, ...] = ()
    """Channels, from 0, shown as grey (one) or red, green, blue (two, three); default: grey, or the first three."""
    intensity: Literal["image", "run"] = "image"
    """What becomes black and white in images of more than 8 bits. image: the smallest and largest value of each,
    without outliers and nodata; run: those of all reference and target images of `gpoa run` together."""
    window: tuple[float, ...] = ()
    """These two values (or two for each channel) become black and white in images of more than 8 bits."""

    def __post_init__(self) -> None:
        words, window = " ".join(self.pages), " ".join(f"{value:g}" for value in self.window)
        _check(
            (bool(re.fullmatch(r"all|first|max|\d+(-\d+)?( \d+(-\d+)?)*", words)), f"--pages {words}: see its help"),
            (len(self.channels) <= 3 and min(self.channels, default=0) >= 0, "--channels: up to three numbers from 0"),
            (all(a < b for a, b in zip(self.window[::2], self.window[1::2])), f"--reading.window {window}: black first"),
            (len(self.window) % 2 == 0, f"--reading.window {window}: two values a channel, black and white"),
        )


@dataclass(frozen=True)
class ModelsConfig:
    """Which frozen models are used, and where they run."""

    features: str = "dinov2-small"
    """Feature model: a name from `gpoa models list`; a folder with a vision transformer in transformers' layout; a
    repository of the hub with one (owner/name); or segmenter: the segmenter's own embedding, without a second model."""
    segmenter: str = "mobile_sam"
    """Segmenter: a name from `gpoa models list`."""
    device: str = "auto"
    """auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1, mps."""
    precision: PrecisionName = "float32"
    """Of the decoder's large products. float32 gives SAM's own masks; bfloat16 and float16 differ a little and may be faster
    (bfloat16 on new CPUs, both on GPUs); auto measures at first use and remembers."""
    encoder_precision: PrecisionName = "float32"
    """Of the image encoders: float32; bfloat16 or float16 (on GPUs), which change features and masks a little; auto:
    bfloat16 on CUDA, on new CPUs the faster by measurement at first use, float32 elsewhere."""
    checkpoints: str | None = None
    """Folder of the models; default: $GPOA_CHECKPOINTS, else ./checkpoints if it exists, else the user's cache."""


@dataclass(frozen=True)
class FeaturesConfig:
    """How images become patch tokens."""

    image_size: int = 448
    """Side of the square that the feature model sees, in pixels; a multiple of the model's patch size."""
    layers: tuple[int, ...] = (9, 12)
    """Layers whose tokens are joined, counted from 1 (12 is the last of DINOv2 S and B; L has 24, g has 40)."""
    tiles: int | None = None
    """For small objects in large images: n x n tiles, each of them image-size wide, pass the model one by one, at n^2
    times the cost; default: the whole image at once, with which the policy that comes with gpoa was trained."""

    def __post_init__(self) -> None:
        if self.tiles == 1:  # one name for one behaviour, or a policy trained with the one would refuse the other
            object.__setattr__(self, "tiles", None)
        _check(
            (self.tiles is None or 1 <= self.tiles <= 8, f"--features.tiles {self.tiles}: from 1 to 8"),
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

    strategy: StrategyName = "auto"
    """auto: agent-search, where a policy fits the models and settings in use, else none; none: the initial set; random: a
    random subset as GPOA's released optimiser keeps; best-of-n: the best of several sets; greedy: toggle one group at a
    time; agent: the trained policy toggles nodes until it stops; agent-search: it looks at its most probable sets until
    the budget is spent; quality: a fixed list of sets. The last three keep the best set by the trained quality head, and
    learn from the other images of the folder."""
    policy: str | None = None
    """auto, agent, agent-search, quality: the policy's file; default: the one that comes with gpoa."""
    budget: int = 8
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
    multimask: MultimaskName = "single"
    """single: SAM's single-mask output (right for many prompts); best: the one of its three masks with the highest
    predicted IoU; largest: the largest of the three."""


@dataclass(frozen=True)
class GraphConfig:
    """Which nodes the prompt graph has."""

    levels: tuple[float, ...] = (-0.6, -0.3, 0.0, 0.3, 0.6, 1.0)
    """Thresholds of the dense prompts, in standard deviations of the score map above its own; 0 must be one of them."""
    always_dense: bool = True
    """Offer dense prompts also where the initial set has none."""
    box: bool = True
    """Offer the bounding box of the thresholded map."""
    component_groups: int = 3
    """Groups for the positives of the largest connected components, at most."""
    single_points: bool = False
    """Points may be toggled one by one, not only in groups."""
    folder_images: int = 12
    """Images of the folder whose first masks also teach the matcher, for the folder's nodes; 0 is off."""
    folder_trust: float = 0.3
    """What a patch of such a mask weighs, where one of the reference weighs 1."""
    horizon: int = 4
    """Toggles after which an episode ends."""

    def __post_init__(self) -> None:
        _check(
            (0.0 in self.levels, f"--graph.levels {self.levels}: must contain 0, the initial threshold"),
            (len(set(self.levels)) == len(self.levels), f"--graph.levels {self.levels}: one of them twice"),
            (self.component_groups >= 0, f"--graph.component-groups {self.component_groups}: 0 or more"),
            (self.folder_images >= 0, f"--graph.folder-images {self.folder_images}: 0 or more"),
            (0 < self.folder_trust <= 1, f"--graph.folder-trust {self.folder_trust}: above 0, at most 1"),
            (self.horizon >= 1, f"--graph.horizon {self.horizon}: at least 1"),
        )


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the agent's networks."""

    width: int = 48
    """Width of the node states."""
    layers: int = 2
    """Rounds of message passing; 0 is a set network."""
    map_width: int = 16
    """Channels of the policy's convolutions."""
    stop_bias: float = 1.0
    """Logit of STOP before training; the other actions start at 0."""
    quality_width: int = 32
    """Channels of the quality head's convolutions."""
    members: int = 3
    """Networks of the quality head, whose answers are averaged."""

    def __post_init__(self) -> None:
        _check(
            (self.layers >= 0, f"--policy.layers {self.layers}: 0 or more"),
            (self.map_width % 4 == 0 and self.map_width > 0, f"--policy.map-width {self.map_width}: a multiple of 4"),
            (self.quality_width % 8 == 0 and self.quality_width > 0, "--policy.quality-width: a multiple of 8"),
            (self.members >= 1, f"--policy.members {self.members}: at least 1"),
        )


@dataclass(frozen=True)
class TrainConfig:
    """How an agent is trained."""

    algorithm: AlgorithmName = "rloo"
    """rloo: REINFORCE with leave-one-out baseline; ppo: clipped surrogate with action mask; dqn: double Q-learning."""
    reward: RewardName = "iou"
    """iou: change of the IoU; dice-boundary: of the mean of Dice and boundary IoU; graph: of the GPOA paper's measure of the
    graph, which needs no ground truth (the quality head still does)."""
    updates: int = 100
    """Updates of the networks."""
    episodes: int = 8
    """Images an update."""
    rollouts: int = 4
    """Rollouts of each image; they share its embedding."""
    explore: int = 8
    """Sets of each image from which only the quality head learns: the folder's, and random ones of the fixed list."""
    images: int = 16
    """Images of a class that are used, at most, evenly spaced by name."""
    pairs: int = 16
    """Distinct pairs of reference and target of a class, drawn once; every mask that was made for them is remembered."""
    shots: int = 1
    """Reference images an episode."""
    augment: float = 0.0
    """Share of the episodes whose reference is mirrored or turned (each needs an encoder pass)."""
    learning_rate: float = 2e-3
    """Of the policy (Adam, cosine decay to a tenth)."""
    quality_rate: float = 2e-3
    """Of the quality head (AdamW, cosine decay to a tenth)."""
    quality_decay: float = 0.02
    """Weight decay of the quality head."""
    quality_masks: int = 24
    """Masks of each image from which the quality head learns in one update."""
    ent_coef: float = 0.005
    """Weight of the policy's entropy."""
    gamma: float = 1.0
    """Discount."""
    gae_lambda: float = 0.95
    """ppo: trace decay of the advantages."""
    clip_range: float = 0.2
    """ppo: how far the policy may move in one update."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    epochs: int = 3
    """ppo, dqn: passes over the rollouts of one update."""
    epsilon: float = 0.2
    """dqn: share of random actions, falling to a tenth."""
    target_rate: float = 0.05
    """dqn: how far the target network follows in one update."""
    step_cost: float = 0.002
    """Subtracted from the reward of every toggle."""
    eval_every: int = 25
    """Updates between two evaluations on held-out classes."""
    margin: float = 0.01
    """The start is left only for a mask whose expected gain is larger; saved with the policy."""
    eval_budget: int = 8
    """Decoder calls an image of an evaluation."""
    eval_images: int = 48
    """Images of an evaluation, at most, spread over the held-out classes."""
    workers: int = 2
    """Threads for the segmenter on a CPU."""
    seed: int = 0
    """Seed of every random choice."""

    def __post_init__(self) -> None:
        _check(
            (self.updates >= 1, f"--train.updates {self.updates}: at least 1"),
            (self.episodes >= 1, f"--train.episodes {self.episodes}: at least 1"),
            (self.rollouts >= 2 or self.algorithm != "rloo", f"--train.rollouts {self.rollouts}: rloo needs at least 2"),
            (self.rollouts >= 1, f"--train.rollouts {self.rollouts}: at least 1"),
            (self.shots >= 1, f"--train.shots {self.shots}: at least 1"),
            (self.pairs >= 1, f"--train.pairs {self.pairs}: at least 1"),
            (self.images > self.shots, f"--train.images {self.images}: more than --train.shots are needed"),
            (0 <= self.augment <= 1, f"--train.augment {self.augment}: from 0 to 1"),
            (0 <= self.gamma <= 1, f"--train.gamma {self.gamma}: from 0 to 1"),
            (0 <= self.gae_lambda <= 1, f"--train.gae-lambda {self.gae_lambda}: from 0 to 1"),
            (self.learning_rate > 0 and self.quality_rate > 0, "--train.learning-rate, --train.quality-rate: above 0"),
            (self.quality_masks >= 2, f"--train.quality-masks {self.quality_masks}: at least 2"),
            (self.eval_every >= 1, f"--train.eval-every {self.eval_every}: at least 1"),
            (self.workers >= 1, f"--train.workers {self.workers}: at least 1"),
        )


@dataclass(frozen=True)
class BenchmarkConfig:
    """What a benchmark runs."""

    methods: tuple[str, ...] = ()
    """Methods to compare; default: ours, its start, and every peer."""
    references: int = 3
    """References a class: the first, the middle and the last image by name, at most."""
    targets: int = 20
    """Images a reference that are scored, at most, the first by name."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the methods that draw at random; the others are run once."""
    workers: int = 0
    """Processes; 0 is one a core."""

    def __post_init__(self) -> None:
        _check(
            (1 <= self.references <= 3, f"--references {self.references}: from 1 to 3"),
            (self.targets >= 1, f"--targets {self.targets}: at least 1"),
            (len(self.seeds) >= 1, "--seeds: at least one"),
            (self.workers >= 0, f"--workers {self.workers}: 0 or more"),
        )


@dataclass(frozen=True)
class GpoaConfig:
    """Everything that shapes a mask."""

    reading: ReadingConfig = field(default_factory=ReadingConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
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
