"""All settings that shape a mask as one value, and what a value is called."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from gpoa.config.inputs import FeaturesConfig, ModelsConfig, ReadingConfig
from gpoa.config.matching import CandidatesConfig, MatchingConfig, ThresholdConfig
from gpoa.config.objects import ObjectsConfig
from gpoa.config.optimizing import GraphConfig, OptimizeConfig, SegmentConfig


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
    objects: ObjectsConfig = field(default_factory=ObjectsConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """The config as nested plain values, ready for JSON."""
    return dataclasses.asdict(config)


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits that name the values of the given configs or plain values."""
    plain = [to_dict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
