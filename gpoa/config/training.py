"""Sizes of the networks, and how they are trained."""

from __future__ import annotations

from dataclasses import dataclass

from gpoa.config.names import AlgorithmName, RewardName, check


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
        check(
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
    """Reward per step: the change in iou, in dice-boundary (mean of Dice and boundary IoU), or in the GPOA paper's
    graph measure (graph), which needs no ground truth (the quality head still does)."""
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
        check(
            (self.updates >= 1, f"--train.updates {self.updates}: at least 1"),
            (self.episodes >= 1, f"--train.episodes {self.episodes}: at least 1"),
            (
                self.rollouts >= 2 or self.algorithm != "rloo",
                f"--train.rollouts {self.rollouts}: rloo needs at least 2",
            ),
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
        check((min(widths) >= 1 and bool(self.dilations), "prior: widths are at least 1, and a dilation is needed"))


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
        check(
            (self.updates >= 1, f"--train.updates {self.updates}: at least 1"),
            (self.batch >= 1, f"--train.batch {self.batch}: at least 1"),
            (self.learning_rate > 0, f"--train.learning-rate {self.learning_rate}: must be above 0"),
            (0 <= self.ema < 1, f"--train.ema {self.ema}: from 0 to below 1"),
            (0 <= self.absent < 1, f"--train.absent {self.absent}: from 0 to below 1"),
            (self.save_every >= 1, f"--train.save-every {self.save_every}: at least 1"),
        )
