"""Every choice of the pipeline as one nested, frozen, checked value.

The field docstrings are the command line's help. `resolve()`d configs are saved with everything that is computed, and
`digest` names the part of a config that shapes a result.
"""

from __future__ import annotations

from gpoa.config.benchmark import BenchmarkConfig
from gpoa.config.inputs import FeaturesConfig, ModelsConfig, ReadingConfig
from gpoa.config.matching import CandidatesConfig, MatchingConfig, ThresholdConfig
from gpoa.config.names import (
    LEARNED,
    AlgorithmName,
    JudgeName,
    MatcherName,
    MultimaskName,
    PrecisionName,
    RewardName,
    SamplerName,
    StrategyName,
    ThresholdName,
    TrackerName,
)
from gpoa.config.objects import ObjectsConfig
from gpoa.config.optimizing import GraphConfig, OptimizeConfig, SegmentConfig
from gpoa.config.sb3 import Sb3Config, Sb3Name
from gpoa.config.training import PolicyConfig, PriorConfig, PriorTrainConfig, TrainConfig
from gpoa.config.whole import GpoaConfig, digest, to_dict

__all__ = [
    "LEARNED",
    "AlgorithmName",
    "BenchmarkConfig",
    "CandidatesConfig",
    "FeaturesConfig",
    "GpoaConfig",
    "GraphConfig",
    "JudgeName",
    "MatcherName",
    "MatchingConfig",
    "ModelsConfig",
    "MultimaskName",
    "ObjectsConfig",
    "OptimizeConfig",
    "PolicyConfig",
    "PrecisionName",
    "PriorConfig",
    "PriorTrainConfig",
    "ReadingConfig",
    "RewardName",
    "SamplerName",
    "Sb3Config",
    "Sb3Name",
    "SegmentConfig",
    "StrategyName",
    "ThresholdConfig",
    "ThresholdName",
    "TrackerName",
    "TrainConfig",
    "digest",
    "to_dict",
]
