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

MatcherName = Literal["nearest", "margin", "soft-knn", "ridge", "prior"]
ThresholdName = Literal["fixed", "otsu", "reference", "blend"]
SamplerName = Literal["farthest", "all"]
StrategyName = Literal[
    "auto", "none", "prior", "posterior", "random", "best-of-n", "greedy", "agent", "agent-search", "quality"
]
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
    """Feature model: a name from `gpoa models list`; a local folder or a Hugging Face repository (owner/name) with a vision
    transformer in the transformers format; or "segmenter", which reuses the segmenter's image embedding."""
    segmenter: str = "mobile_sam"
    """Segmentation model: a name from `gpoa models list`."""
    device: str = "auto"
    """Device: auto (CUDA if available, else CPU), cpu, cuda, cuda:1, mps."""
    precision: PrecisionName = "float32"
    """Precision of the mask decoder. float32 reproduces the model's original masks; bfloat16 (recent CPUs, GPUs) and float16
    (GPUs) can be faster and change masks slightly; auto times them on first use and remembers the fastest."""
    encoder_precision: PrecisionName = "float32"
    """Precision of the image encoders. bfloat16 and float16 (GPUs) change features and masks slightly; auto: bfloat16 on
    CUDA, the faster of float32 and bfloat16 (timed on first use) on recent CPUs, float32 elsewhere."""
    checkpoints: str | None = None
    """Folder with the model weights; default: $GPOA_CHECKPOINTS, else ./checkpoints if it exists, else the user's cache."""


@dataclass(frozen=True)
class FeaturesConfig:
    """How images become patch tokens."""

    image_size: int = 448
    """Input size of the feature model, in pixels (square); a multiple of its patch size."""
    layers: tuple[int, ...] = (9, 12)
    """Transformer layers whose tokens are concatenated, counted from 1 (DINOv2 S and B have 12, L has 24, g has 40)."""
    tiles: int | None = None
    """For small objects in large images: split each image into n x n tiles, each resized to the model's input size, at n^2
    times the cost. Default: the whole image at once, as the bundled policy was trained."""

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

    method: MatcherName = "prior"
    """How target patches are scored. nearest: forward nearest neighbour (GPOA); margin: mean similarity to the 5 closest
    foreground patches minus that to the 5 closest background patches; soft-knn: softmax-weighted reference mask; ridge:
    class-balanced linear classifier; prior: a trained network that predicts the probability of every pixel from how target
    and reference compare."""
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
        _check(
            (self.temperature > 0, f"--matching.temperature {self.temperature}: must be above 0"),
            (self.ridge_lambda > 0, f"--matching.ridge-lambda {self.ridge_lambda}: must be above 0"),
            (self.debias_components >= 0, f"--matching.debias-components {self.debias_components}: 0 or more"),
        )


@dataclass(frozen=True)
class ThresholdConfig:
    """Where foreground begins on the score map."""

    method: ThresholdName = "blend"
    """Threshold on the score map. fixed: `value`; otsu: Otsu's threshold of each target; reference: the threshold that best
    segments the reference; blend: weighted mean of otsu and reference."""
    otsu_share: float = 0.75
    """blend: weight of Otsu's threshold, 0 to 1."""
    value: float = 0.0
    """fixed: the threshold, on the matcher's score scale."""
    presence: float = 0.55
    """Report the object as absent if the best patches of a target are less similar to the reference's foreground than this
    (cosine similarity); -1 disables the check."""
    sureness: float = 0.6
    """matching.method prior: not absent, whatever the similarity, if the prior's probabilities where it sees the object are
    at least this on average; above 1 leaves the decision to the similarity."""

    def __post_init__(self) -> None:
        _check(
            (0 <= self.sureness, f"--threshold.sureness {self.sureness}: 0 or more"),
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
    prior_gain: float = 4.0
    """matching.method prior: factor from the prior's log odds to mask prompt logits."""

    def __post_init__(self) -> None:
        _check(
            (self.positives >= 1, f"--candidates.positives {self.positives}: at least 1"),
            (self.negatives >= 0, f"--candidates.negatives {self.negatives}: 0 or more"),
            (self.per_component >= 1, f"--candidates.per-component {self.per_component}: at least 1"),
            (self.max_positives >= self.positives, "--candidates.max-positives is below --candidates.positives"),
            (0 <= self.prune_distance < 1, f"--candidates.prune-distance {self.prune_distance}: from 0 to below 1"),
            (self.dense_gain > 0, f"--candidates.dense-gain {self.dense_gain}: must be above 0"),
            (self.prior_gain > 0, f"--candidates.prior-gain {self.prior_gain}: must be above 0"),
        )


@dataclass(frozen=True)
class OptimizeConfig:
    """How a prompt set is improved without ground truth."""

    strategy: StrategyName = "auto"
    """Prompt optimisation. auto: agent-search if a trained policy fits the models and settings, else none; none: keep the
    initial prompts; random: a random subset (the released GPOA optimiser); best-of-n: the best of several prompt sets;
    greedy: toggle one group of prompts at a time; agent: the trained policy toggles prompts until it stops; agent-search:
    try the policy's most probable sets until the budget is spent; quality: try a fixed list of sets. The last three pick
    the best set with the trained quality head and adapt to the other images of the folder."""
    policy: str | None = None
    """auto, agent, agent-search, quality: file of the trained policy; default: the bundled one."""
    budget: int = 8
    """Mask decoder calls per image, including the one for the initial prompts."""
    judge: JudgeName = "mixed"
    """best-of-n, greedy: the score, without ground truth, by which prompt sets are compared."""
    margin: float = 0.02
    """Replace the initial prompts only if the score improves by more than this."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        _check(
            (self.budget >= 1, f"--budget {self.budget}: at least 1 decoder call is needed"),
            (self.margin >= 0, f"--optimize.margin {self.margin}: 0 or more"),
        )


@dataclass(frozen=True)
class SegmentConfig:
    """How prompts become a mask."""

    mode: Literal["joint", "components"] = "joint"
    """joint: one decoder call with all prompts; components: one call per connected component, and the union of the masks."""
    multimask: MultimaskName = "single"
    """Which of SAM's outputs to use. single: the single-mask output (suits many prompts); best: of its three masks, the one
    with the highest predicted IoU; largest: the largest of the three."""


@dataclass(frozen=True)
class GraphConfig:
    """Which nodes the prompt graph has."""

    levels: tuple[float, ...] = (-0.6, -0.3, 0.0, 0.3, 0.6, 1.0)
    """Thresholds of the dense prompts, in standard deviations of the score map relative to its own threshold; must include
    0."""
    always_dense: bool = True
    """Offer dense prompts even if the initial prompts have none."""
    box: bool = True
    """Offer the bounding box of the thresholded score map."""
    component_groups: int = 3
    """Maximum number of groups for the positive points of the largest connected components."""
    single_points: bool = False
    """Allow single points to be toggled, not only groups."""
    folder_images: int = 12
    """Number of target images whose initial masks refine the matcher for the whole folder; 0 disables this."""
    folder_trust: float = 0.3
    """Weight of a patch from these masks relative to a reference patch."""
    horizon: int = 4
    """Maximum number of toggles per episode."""

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
    """Width of the node embeddings."""
    layers: int = 2
    """Message passing layers; 0 gives a set network without messages."""
    map_width: int = 16
    """Channels of the policy's convolutional layers."""
    stop_bias: float = 1.0
    """Initial logit of the STOP action; all other actions start at 0."""
    quality_width: int = 32
    """Channels of the quality head's convolutional layers."""
    members: int = 3
    """Ensemble size of the quality head."""

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
    """rloo: REINFORCE with a leave-one-out baseline; ppo: clipped objective with action masking; dqn: double DQN."""
    reward: RewardName = "iou"
    """Reward per step: the change in iou, in dice-boundary (mean of Dice and boundary IoU), or in the GPOA paper's graph
    measure (graph), which needs no ground truth (the quality head still does)."""
    updates: int = 100
    """Number of network updates."""
    episodes: int = 8
    """Episodes (images) per update."""
    rollouts: int = 4
    """Rollouts per episode, which share the image embedding."""
    explore: int = 8
    """Extra prompt sets per image that train the quality head only."""
    images: int = 16
    """Maximum number of images per class, evenly spaced by name."""
    pairs: int = 16
    """Reference/target pairs per class, drawn once; their masks are cached."""
    shots: int = 1
    """Reference images per episode."""
    augment: float = 0.0
    """Fraction of episodes with a flipped or rotated reference (each needs an encoder pass)."""
    learning_rate: float = 2e-3
    """Learning rate of the policy (Adam, cosine decay to a tenth)."""
    quality_rate: float = 2e-3
    """Learning rate of the quality head (AdamW, cosine decay to a tenth)."""
    quality_decay: float = 0.02
    """Weight decay of the quality head."""
    quality_masks: int = 24
    """Masks per image that train the quality head in one update."""
    ent_coef: float = 0.005
    """Entropy coefficient."""
    gamma: float = 1.0
    """Discount factor."""
    gae_lambda: float = 0.95
    """ppo: lambda of generalised advantage estimation."""
    clip_range: float = 0.2
    """ppo: clip range of the probability ratio."""
    vf_coef: float = 0.5
    """Value loss coefficient."""
    epochs: int = 3
    """ppo, dqn: epochs per update."""
    epsilon: float = 0.2
    """dqn: initial exploration rate, decaying to a tenth."""
    target_rate: float = 0.05
    """dqn: soft update rate of the target network."""
    step_cost: float = 0.002
    """Cost subtracted from the reward of each toggle."""
    eval_every: int = 25
    """Evaluate on the held-out classes every so many updates."""
    margin: float = 0.01
    """Replace the initial mask only if the expected gain is larger than this; saved with the policy."""
    eval_budget: int = 8
    """Mask decoder calls per image during evaluation."""
    eval_images: int = 48
    """Maximum number of images per evaluation, spread over the held-out classes."""
    workers: int = 2
    """CPU threads for the segmenter."""
    seed: int = 0
    """Random seed."""

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
class PriorConfig:
    """Sizes of the prior's network."""

    width: int = 48
    """Channels at 32 x 32."""
    middle_width: int = 24
    """Channels at 64 x 64."""
    half_width: int = 16
    """Channels at 128 x 128."""
    fine_width: int = 8
    """Channels at 256 x 256."""
    dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    """Dilation of each residual block at 32 x 32."""

    def __post_init__(self) -> None:
        widths = (self.width, self.middle_width, self.half_width, self.fine_width)
        _check((min(widths) >= 1 and bool(self.dilations), "prior: widths are at least 1, and a dilation is needed"))


@dataclass(frozen=True)
class PriorTrainConfig:
    """How the prior is trained."""

    updates: int = 500
    """Updates of the network."""
    batch: int = 12
    """Pairs an update."""
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule (AdamW)."""
    weight_decay: float = 0.05
    """Of AdamW."""
    ema: float = 0.99
    """Decay of the running mean of the weights, which is what is saved for use."""
    crop: float = 0.5
    """Share of the batches that show a part of each image, three quarters of its side."""
    drop_group: float = 0.15
    """Chance that a group of coarse maps is left out of a pair."""
    drop_level: float = 0.1
    """Chance that all maps of the middle or of the fine level are left out of a pair."""
    absent: float = 0.06
    """Share of pairs whose target does not show the object."""
    save_every: int = 25
    """Updates between two checkpoints to go on from."""
    seed: int = 0
    """Seed of every random choice."""

    def __post_init__(self) -> None:
        _check(
            (self.updates >= 1, f"--train.updates {self.updates}: at least 1"),
            (self.batch >= 1, f"--train.batch {self.batch}: at least 1"),
            (self.learning_rate > 0, f"--train.learning-rate {self.learning_rate}: must be above 0"),
            (0 <= self.ema < 1, f"--train.ema {self.ema}: from 0 to below 1"),
            (0 <= self.absent < 1, f"--train.absent {self.absent}: from 0 to below 1"),
            (self.save_every >= 1, f"--train.save-every {self.save_every}: at least 1"),
        )


@dataclass(frozen=True)
class BenchmarkConfig:
    """What a benchmark runs."""

    methods: tuple[str, ...] = ()
    """Methods to compare; default: gpoa, its initial prompts, and all other methods."""
    references: int = 3
    """Reference images per class, up to three: the first, middle and last by name."""
    targets: int = 20
    """Maximum number of target images per reference, in name order."""
    seeds: tuple[int, ...] = (0,)
    """Random seeds; deterministic methods run once."""
    workers: int = 0
    """Worker processes; 0 means one per core."""

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
