"""Every method beside ours, by name, in the order of the tables.

    baseline = BASELINES["insid3"]
    models = Backbones(features_config(baseline.features, GpoaConfig()))
    method = baseline.build(models, seed=0)
    method.fit(reference, mask)
    mask = method.predict(target).mask

A method's module is imported when it is built, so that one that lacks a package does not stop the others.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from gpoa.baselines.base import FrozenModels, Method
from gpoa.config import GpoaConfig

FeatureKind = Literal["plain", "ours"]
"""plain: tokens of the last layer as the model gives them; ours: what our own pipeline uses."""
Build = Callable[[FrozenModels, int], Method]


@dataclass(frozen=True)
class Baseline:
    """One method beside ours.

    Args:
        name: how the command line calls it.
        title: how tables call it.
        source: where it was described, as a citation; "this repository" for controls of our own.
        description: what it does, in one line.
        features: which tokens its models must give (`features_config`).
        build: makes the method from frozen models and a seed.
        uses_sam: whether it decodes prompts with the segmenter.
        draws_at_random: whether its masks depend on the seed.
    """

    name: str
    title: str
    source: str
    description: str
    features: FeatureKind
    build: Build
    uses_sam: bool
    draws_at_random: bool = False


def features_config(kind: FeatureKind, base: GpoaConfig) -> GpoaConfig:
    """The config to build `gpoa.pipeline.backbones.Backbones` with.

    Args:
        kind: which tokens are wanted.
        base: everything else, such as the models, the input size and the device.

    Returns:
        The base itself for "ours"; for "plain", the base with only the last of its layers and no debiasing.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == "ours":
        return base
    if kind != "plain":
        raise ValueError(f"features {kind!r}: unknown kind; take plain or ours")
    last = (max(base.features.layers),)
    return replace(
        base, features=replace(base.features, layers=last), matching=replace(base.matching, debias_components=0)
    )


def _from(module: str, name: str) -> Build:
    """Builds a method whose module is imported late."""

    def build(models: FrozenModels, seed: int) -> Method:
        return getattr(importlib.import_module(f"gpoa.baselines.{module}"), name)(models, seed)

    return build


_ALL = (
    Baseline(
        name="otsu",
        title="Otsu",
        source="Otsu, IEEE Trans. Syst. Man Cybern. 9, 1979",
        description="one grey threshold an image; the reference tells whether the object is bright or dark",
        features="plain",
        build=_from("classical", "otsu"),
        uses_sam=False,
    ),
    Baseline(
        name="adaptive",
        title="adaptive",
        source="local threshold, as in OpenCV's adaptiveThreshold",
        description="5 grey levels from the Gaussian mean of a 31 x 31 block; the reference tells the side",
        features="plain",
        build=_from("classical", "adaptive"),
        uses_sam=False,
    ),
    Baseline(
        name="canny",
        title="Canny + fill",
        source="Canny, IEEE Trans. Pattern Anal. Mach. Intell. 8, 1986",
        description="edges at 50/150 and the holes that they enclose; nothing comes from the reference",
        features="plain",
        build=_from("classical", "canny"),
        uses_sam=False,
    ),
    Baseline(
        name="score-map",
        title="score map",
        source="this repository",
        description="our ridge score map at its threshold, brought to the image; no SAM",
        features="ours",
        build=_from("score_map", "ScoreMapMask"),
        uses_sam=False,
    ),
    Baseline(
        name="random-walker",
        title="score map + walker",
        source="Grady, IEEE Trans. Pattern Anal. Mach. Intell. 28, 2006",
        description="our ridge score map, its uncertain part decided by a random walker on the image; no SAM",
        features="ours",
        build=_from("score_map", "WalkerMask"),
        uses_sam=False,
    ),
    Baseline(
        name="gpoa-initial",
        title="GPOA initial",
        source="GPOA (Graph-based Prompt Optimization Agent), public release",
        description="all forward nearest-neighbour matches as points in one call of SAM",
        features="plain",
        build=_from("gpoa_release", "GpoaInitial"),
        uses_sam=True,
    ),
    Baseline(
        name="gpoa-release",
        title="GPOA release",
        source="GPOA (Graph-based Prompt Optimization Agent), public release",
        description="a random subset of those matches, 5 to 20 points a label",
        features="plain",
        build=_from("gpoa_release", "GpoaRelease"),
        uses_sam=True,
        draws_at_random=True,
    ),
    Baseline(
        name="gbmseg",
        title="GBMSeg",
        source="Liu et al., Feature-prompting GBMSeg, MICCAI 2024, arXiv:2406.16271",
        description="forward and backward matches, pruned and spread, as points for SAM",
        features="plain",
        build=_from("gbmseg", "GbmSeg"),
        uses_sam=True,
    ),
    Baseline(
        name="persam",
        title="PerSAM",
        source="Zhang et al., Personalize Segment Anything Model with One Shot, ICLR 2024, arXiv:2305.03048",
        description="the most and the least similar location as points for SAM, refined by its own mask",
        features="plain",
        build=_from("persam", "PerSam"),
        uses_sam=True,
    ),
    Baseline(
        name="matcher",
        title="Matcher",
        source="Liu et al., Matcher: Segment Anything with One Shot, ICLR 2024, arXiv:2305.13310",
        description="bidirectional matches, sampled prompts, and SAM's masks selected and merged by the features",
        features="plain",
        build=_from("matcher", "Matcher"),
        uses_sam=True,
        draws_at_random=True,
    ),
    Baseline(
        name="gf-sam",
        title="GF-SAM",
        source="Zhang et al., Bridge the Points, NeurIPS 2024, arXiv:2410.06964",
        description="matched points and their SAM masks as a graph, clustered and filtered without parameters",
        features="plain",
        build=_from("gf_sam", "GfSam"),
        uses_sam=True,
    ),
    Baseline(
        name="insid3",
        title="INSID3 (on DINOv2)",
        source="Cuttano et al., INSID3, CVPR 2026, arXiv:2603.28480",
        description="clusters of the target's tokens, seeded and joined by similarity to the reference; no SAM",
        features="plain",
        build=_from("insid3", "Insid3"),
        uses_sam=False,
        draws_at_random=True,
    ),
)
BASELINES: dict[str, Baseline] = {baseline.name: baseline for baseline in _ALL}
"""Name -> method."""
