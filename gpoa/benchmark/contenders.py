"""The methods of a benchmark under one interface, with a meter on their models.

Ours and the peers of `gpoa.baselines` get the same frozen models through a `Meter`, which counts decoder calls and
seconds, so that no method reports its own costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from gpoa.baselines.base import Answer, FrozenModels, full_mask
from gpoa.baselines.registry import BASELINES, features_config
from gpoa.config import LEARNED, GpoaConfig, MatcherName, StrategyName
from gpoa.errors import ConfigError
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.backbones import Backbones
from gpoa.pipeline.folder_learning import learn_folder
from gpoa.pipeline.image import ImagePipeline
from gpoa.segmenters.base import Segmenter
from gpoa.types import ImageEmbedding, MaskPrediction, PatchFeatures, PointPrompts, Sample


@dataclass(frozen=True)
class OurMethod:
    """One way to run `ImagePipeline`.

    Args:
        strategy: how prompts are improved.
        title: in tables.
        description: one line.
        matching: how target patches are scored; None is what the config says.
    """

    strategy: StrategyName
    title: str
    description: str
    matching: MatcherName | None = None


OURS: dict[str, OurMethod] = {
    "gpoa": OurMethod(
        "auto", "gpoa", "what `gpoa run` does: a list of prompt sets and the prior's own mask, judged by the prior"
    ),
    "gpoa-prior": OurMethod("prior", "gpoa prior", "the mask of the learned prior alone, no decoder call"),
    "gpoa-ridge": OurMethod(
        "agent-search", "gpoa 0.1", "ridge map and graph agent, the default before the prior", "ridge"
    ),
    "gpoa-ridge-start": OurMethod("none", "gpoa 0.1 start", "the ridge map's prompts in one call", "ridge"),
    "gpoa-start": OurMethod("none", "gpoa start", "the initial prompts in one call, no agent"),
    "gpoa-agent": OurMethod("agent", "gpoa agent", "the sequential agent, until it stops"),
    "gpoa-quality": OurMethod("quality", "gpoa quality", "a fixed list of sets, chosen from by the quality head"),
    "gpoa-greedy": OurMethod("greedy", "gpoa greedy", "the start improved by untrained greedy search"),
    "gpoa-best-of-n": OurMethod("best-of-n", "gpoa best of N", "the best of several sets by an untrained judge"),
}
"""Our own methods by name."""
DEFAULT_METHODS = ("gpoa", "gpoa-start", *BASELINES)


@dataclass
class Costs:
    """What was spent since the meter was read last.

    Args:
        calls: prompt sets that were decoded.
        encode_seconds: for tokens and embeddings, from the cache or the encoders.
        decode_seconds: in the decoder.
    """

    calls: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0


class Meter:
    """Frozen models that count what is asked of them; everything else is passed through.

    Args:
        models: the models to measure.
    """

    def __init__(self, models: FrozenModels) -> None:
        self._models, self._costs = models, Costs()
        self.segmenter: Segmenter = _MeteredSegmenter(models.segmenter, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._models, name)

    def features(self, image: np.ndarray, key: str | None = None) -> PatchFeatures:
        """See `Backbones.features`."""
        return self._timed(self._models.features, image, key)

    def embedding(self, image: np.ndarray, key: str | None = None) -> ImageEmbedding:
        """See `Backbones.embedding`."""
        return self._timed(self._models.embedding, image, key)

    def read(self) -> Costs:
        """The costs so far; the counter starts again."""
        costs, self._costs = self._costs, Costs()
        return costs

    def count_decoding(self, calls: int, seconds: float) -> None:
        """Adds decoder calls."""
        self._costs.calls += calls
        self._costs.decode_seconds += seconds

    def _timed(self, encode: Callable[..., Any], *arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return encode(*arguments)
        finally:
            self._costs.encode_seconds += time.perf_counter() - began


class _MeteredSegmenter:
    """A segmenter that tells its meter of every call."""

    def __init__(self, segmenter: Segmenter, meter: Meter) -> None:
        self._segmenter, self._meter = segmenter, meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def decode(
        self, embedding: ImageEmbedding, prompts: Sequence[PointPrompts], *args: Any, **named: Any
    ) -> MaskPrediction:
        """See `Segmenter.decode`."""
        began = time.perf_counter()
        answer = self._segmenter.decode(embedding, prompts, *args, **named)
        self._meter.count_decoding(len(prompts), time.perf_counter() - began)
        return answer


class Contender(Protocol):
    """A method as the benchmark runs it.

    Attributes:
        meter: of its models.
    """

    meter: Meter

    def prepare(self, image: np.ndarray, mask: np.ndarray, folder: Sequence[Sample]) -> None:
        """Learns from the reference; `folder` holds the other images of the class, whose masks must not be read."""
        ...

    def predict(self, image: np.ndarray) -> Answer:
        """Segments a target."""
        ...


class Ours:
    """`ImagePipeline` as a contender.

    Args:
        strategy: how prompts are improved.
        config: everything else.
        cache: embedding cache.
        seed: of random choices.
    """

    def __init__(self, strategy: StrategyName, config: GpoaConfig, cache: EmbeddingCache | None, seed: int) -> None:
        chosen = replace(config.optimize, strategy=strategy, seed=seed)
        self.segmenter = ImagePipeline(replace(config, optimize=chosen), cache)
        self.meter = Meter(self.segmenter.backbones)
        self.segmenter.backbones = cast(Backbones, self.meter)  # it hands on whatever it does not count

    def prepare(self, image: np.ndarray, mask: np.ndarray, folder: Sequence[Sample]) -> None:
        """See `Contender.prepare`."""
        self.segmenter.fit(image, mask)
        if self.segmenter.strategy in LEARNED:
            learn_folder(self.segmenter, folder)

    def predict(self, image: np.ndarray) -> Answer:
        """See `Contender.predict`."""
        prediction = self.segmenter.predict(image)
        start = None
        if prediction.search is not None and self.segmenter.strategy != "none":
            start = full_mask(prediction.search.trials[0].logits, self.segmenter.backbones.embedding(image))
        return Answer(prediction.mask, prediction.confidence, prediction.optimized.prompts, start)


class Peer:
    """A method of `gpoa.baselines` as a contender.

    Args:
        name: key of `BASELINES`.
        config: names the models.
        cache: embedding cache.
        seed: of random choices.
    """

    def __init__(self, name: str, config: GpoaConfig, cache: EmbeddingCache | None, seed: int) -> None:
        entry = BASELINES[name]
        self.meter = Meter(Backbones(features_config(entry.features, config), cache))
        self._method = entry.build(self.meter, seed)

    def prepare(self, image: np.ndarray, mask: np.ndarray, folder: Sequence[Sample]) -> None:
        """See `Contender.prepare`."""
        self._method.fit(image, mask)

    def predict(self, image: np.ndarray) -> Answer:
        """See `Contender.predict`."""
        return self._method.predict(image)


def build_contender(name: str, config: GpoaConfig, cache: EmbeddingCache | None, seed: int) -> Contender:
    """Builds a method by name.

    Raises:
        ConfigError: there is no such method.
    """
    check_methods([name])
    if name in OURS:
        method = OURS[name].matching
        if method is not None:
            config = replace(config, matching=replace(config.matching, method=method))
        return Ours(OURS[name].strategy, config, cache, seed)
    return Peer(name, config, cache, seed)


def check_methods(names: Sequence[str]) -> None:
    """Refuses unknown names.

    Raises:
        ConfigError: names them, and the known ones.
    """
    unknown = [name for name in names if name not in OURS and name not in BASELINES]
    if unknown:
        raise ConfigError(f"--methods {' '.join(unknown)}: unknown; known are {', '.join([*OURS, *BASELINES])}")


def title_of(name: str) -> str:
    """A method's name in tables."""
    return OURS[name].title if name in OURS else BASELINES[name].title


def draws_at_random(name: str) -> bool:
    """Whether a method's masks depend on its seed; the others are run with one seed only."""
    return name not in OURS and BASELINES[name].draws_at_random
