"""How prompts are improved and become a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpoa.config.names import JudgeName, MultimaskName, StrategyName, check


@dataclass(frozen=True)
class OptimizeConfig:
    """How a prompt set is improved without ground truth."""

    strategy: StrategyName = "auto"
    """Prompt optimisation. auto: posterior with the prior, with another matcher agent-search if a trained policy
    fits the models and settings, else none; none: keep the initial prompts; prior: the prior's own mask, without
    SAM; posterior: the mean of the prior's probability and SAM's masks; random: a random subset (the released GPOA
    optimiser); best-of-n: the best of several prompt sets; greedy: toggle one group of prompts at a time; agent:
    the trained policy toggles prompts until it stops; agent-search: try the policy's most probable sets until the
    budget is spent; quality: try a fixed list of sets. These three pick the best set with the trained quality
    head and adapt to the other images of the folder. sb3: an agent of Stable-Baselines3 adds and removes points
    (--optimize.policy names its zip file)."""
    policy: str | None = None
    """auto, agent, agent-search, quality: file of the trained policy; default: the bundled one. sb3: the zip file."""
    budget: int = 8
    """Mask decoder calls per image, including the one for the initial prompts."""
    posterior_budget: int = 1
    """posterior: mask decoder calls per image; with more than one, another mask is kept where much more is expected of
    it. That gained nothing on validation classes (checkpoints/prior.md)."""
    judge: JudgeName = "mixed"
    """best-of-n, greedy: the score, without ground truth, by which prompt sets are compared."""
    margin: float = 0.02
    """Replace the initial prompts only if the score improves by more than this."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        check(
            (self.budget >= 1, f"--budget {self.budget}: at least 1 decoder call is needed"),
            (self.posterior_budget >= 1, f"--optimize.posterior-budget {self.posterior_budget}: at least 1"),
            (self.margin >= 0, f"--optimize.margin {self.margin}: 0 or more"),
        )


@dataclass(frozen=True)
class SegmentConfig:
    """How prompts become a mask."""

    mode: Literal["joint", "components"] = "joint"
    """joint: one decoder call with all prompts; components: one call per connected component, and the union of the
    masks."""
    multimask: MultimaskName = "single"
    """Which of SAM's outputs to use. single: the single-mask output (suits many prompts); best: of its three masks, the
    one with the highest predicted IoU; largest: the largest of the three."""


@dataclass(frozen=True)
class GraphConfig:
    """Which nodes the prompt graph has."""

    levels: tuple[float, ...] = (-0.6, -0.3, 0.0, 0.3, 0.6, 1.0)
    """Thresholds of the dense prompts, in standard deviations of the score map relative to its own threshold; must
    include 0."""
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
        check(
            (0.0 in self.levels, f"--graph.levels {self.levels}: must contain 0, the initial threshold"),
            (len(set(self.levels)) == len(self.levels), f"--graph.levels {self.levels}: one of them twice"),
            (self.component_groups >= 0, f"--graph.component-groups {self.component_groups}: 0 or more"),
            (self.folder_images >= 0, f"--graph.folder-images {self.folder_images}: 0 or more"),
            (0 < self.folder_trust <= 1, f"--graph.folder-trust {self.folder_trust}: above 0, at most 1"),
            (self.horizon >= 1, f"--graph.horizon {self.horizon}: at least 1"),
        )
