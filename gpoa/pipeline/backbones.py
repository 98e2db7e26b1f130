"""The two frozen models behind the embedding cache.

A model is found, fetched where it is missing, and loaded only when an image needs it: a run whose embeddings are all
cached loads neither encoder.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from gpoa.config import GpoaConfig
from gpoa.errors import ConfigError, ModelError
from gpoa.features.base import FeatureExtractor, extract_many
from gpoa.features.cache import Arrays, EmbeddingCache, image_digest
from gpoa.features.debias import NOISE_IMAGES, noise_basis, remove_directions
from gpoa.features.hf_vit import HfVit
from gpoa.features.segmenter_tokens import NAME as SEGMENTER_FEATURES
from gpoa.features.segmenter_tokens import SegmenterTokens
from gpoa.features.tiled import TiledExtractor
from gpoa.features.vit_kinds import BICUBIC
from gpoa.geometry import sam_input_size
from gpoa.models import card, store
from gpoa.models.zoo import ZOO, hub_name
from gpoa.runtime.machine import default_cache_folder, fastest_type, keep_freed_memory
from gpoa.runtime.memory import upload
from gpoa.runtime.precision import encoder_type, reduced_id
from gpoa.segmenters.base import Segmenter, encode_many
from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.segmenters.lora import find_adapter
from gpoa.segmenters.registry import SEGMENTERS, builder_of, is_segmenter_folder
from gpoa.types import ImageEmbedding, PatchFeatures, Size


def resolve_device(name: str) -> str:
    """Turns auto into the device to use, and checks any other name.

    Raises:
        ConfigError: the device is unknown or not on this machine.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise ConfigError(f"--models.device {name}: unknown device; take auto, cpu, cuda, cuda:N or mps") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--models.device {name}: torch {torch.__version__} finds no CUDA device; take auto or cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"--models.device {name}: torch {torch.__version__} finds no MPS device; take auto or cpu")
    return name


class Backbones:
    """Feature model and segmenter as one cached service.

    Args:
        config: which models, and how images become tokens.
        cache: embedding cache; default: the user's (`default_cache_folder`).
    """

    def __init__(self, config: GpoaConfig, cache: EmbeddingCache | None = None) -> None:
        keep_freed_memory()
        self.config = config
        self.cache = EmbeddingCache(default_cache_folder()) if cache is None else cache
        self.device = resolve_device(config.models.device)
        self.segmenter = self._build_segmenter()
        self.extractor = self._build_extractor()
        self._directions: np.ndarray | None = None
        # The stages of one image ask for the same things in turn.
        self._last_features: tuple[str, PatchFeatures] | None = None
        self._last_embedding: tuple[str, ImageEmbedding] | None = None
        # What the latest two calls of `encode_ahead` made, where no folder keeps it.
        self._ahead: list[dict[tuple[str, str], Arrays]] = [{}, {}]

    @property
    def joined_layers(self) -> int:
        """How many layers of the feature model a token joins."""
        return len(getattr(getattr(self.extractor, "inner", self.extractor), "layers", (1,)))

    @property
    def ids(self) -> dict[str, str]:
        """The names of the weights and settings that shape tokens and masks."""
        directions = self.config.matching.debias_components
        return {"features": f"{self.extractor.model_id}-{directions}", "segmenter": self.segmenter.model_id}

    def features(self, image: np.ndarray, key: str | None = None) -> PatchFeatures:
        """Patch tokens of an image, position directions removed as configured.

        Args:
            image: [H, W, 3] uint8 RGB.
            key: `image_digest(image)`, where the caller has it already.
        """
        key = key or image_digest(image)
        last = self._last_features  # a name of its own: another thread may be encoding ahead
        if last is None or last[0] != key:
            last = self._last_features = key, self._debiased(self._raw_features(image, key))
        return last[1]

    def embedding(self, image: np.ndarray, key: str | None = None) -> ImageEmbedding:
        """The segmenter's embedding of an image (see `features`)."""
        key = key or image_digest(image)
        last = self._last_embedding
        if last is None or last[0] != key:
            last = self._last_embedding = key, self._load_embedding(image, key)
        return last[1]

    @property
    def ahead(self) -> int:
        """How many images to give to `encode_ahead` together: on CUDA by its free memory, else 1."""
        batches = (getattr(model, "batches", None) for model in (self.segmenter, self.extractor))
        return min((one.size for one in batches if one is not None), default=1)

    def encode_ahead(self, images: Sequence[np.ndarray], keys: Sequence[str]) -> None:
        """Computes features and embeddings of the images that the cache lacks, in batches, and caches them.

        Without a cache on disk they are kept in memory until the call after the next.

        Args:
            images: each [H, W, 3] uint8 RGB.
            keys: `image_digest` of each.

        Raises:
            ModelError: the device's memory does not hold one image.
        """
        wanted = dict(zip(keys, images, strict=True))
        self._ahead = [{}, self._ahead[0]]
        # Embeddings first: the segmenter's own tokens are made of them.
        self._store_ahead(wanted, self.segmenter.model_id, self._encoded)
        self._store_ahead(wanted, self.extractor.model_id, self._extracted)

    def _store_ahead(
        self, wanted: dict[str, np.ndarray], model_id: str, compute: Callable[[list[np.ndarray]], list[Arrays]]
    ) -> None:
        """Computes and stores a model's entries of the images that have none."""
        lacking = {
            key: image
            for key, image in wanted.items()
            if self.cache.missing(key, model_id) and self._made_ahead(key, model_id) is None
        }
        for key, arrays in zip(lacking, compute(list(lacking.values())), strict=True):
            self.cache.get_or_compute(key, model_id, functools.partial(_same, arrays))
            if self.cache.folder is None:
                self._ahead[0][key, model_id] = arrays

    def _made_ahead(self, key: str, model_id: str) -> Arrays | None:
        """What `encode_ahead` keeps of an image in memory."""
        return next((made[key, model_id] for made in self._ahead if (key, model_id) in made), None)

    def _encoded(self, images: list[np.ndarray]) -> list[Arrays]:
        """Embeddings as the cache keeps them."""
        made = encode_many(self.segmenter, images) if images else []
        tensors = [{"features": one.features, **one.extras} for one in made]
        return [{name: value.numpy().astype(np.float16) for name, value in one.items()} for one in tensors]

    def _extracted(self, images: list[np.ndarray]) -> list[Arrays]:
        """Tokens as the cache keeps them."""
        made = extract_many(self.extractor, images) if images else []
        return [{"tokens": one.tokens.astype(np.float16)} for one in made]

    def _load_embedding(self, image: np.ndarray, key: str) -> ImageEmbedding:
        """The embedding from the cache or the encoder."""
        name = self.segmenter.model_id
        arrays = self.cache.get_or_compute(key, name, lambda: self._made_ahead(key, name) or self._encoded([image])[0])
        size = (image.shape[0], image.shape[1])
        tensors = {name: upload(value.astype(np.float32), self.device) for name, value in arrays.items()}
        features = tensors.pop("features")
        return ImageEmbedding(features=features, input_size=sam_input_size(size), original_size=size, extras=tensors)

    def _debiased(self, raw: PatchFeatures) -> PatchFeatures:
        """The features without the configured number of position directions."""
        count = self.config.matching.debias_components
        if count == 0:
            return raw
        return replace(raw, tokens=remove_directions(raw.tokens, self._noise_directions()[:count]))

    def _raw_features(self, image: np.ndarray, key: str) -> PatchFeatures:
        """Tokens as the model gives them."""
        name = self.extractor.model_id
        arrays = self.cache.get_or_compute(
            key, name, lambda: self._made_ahead(key, name) or self._extracted([image])[0]
        )
        side = self.config.features.image_size * (self.config.features.tiles or 1)
        grid = (side // self.extractor.patch_size,) * 2
        return PatchFeatures(
            tokens=arrays["tokens"].astype(np.float32),
            grid_size=grid,
            patch_size=self.extractor.patch_size,
            input_size=(side, side),
            original_size=(image.shape[0], image.shape[1]),
        )

    def _noise_directions(self) -> np.ndarray:
        """[D, D] position directions of the feature model, computed once a model and cached."""
        if self._directions is None:
            arrays = self.cache.get_or_compute(
                f"noise-basis-{NOISE_IMAGES}",
                self.extractor.model_id,
                lambda: {"directions": noise_basis(self.extractor)},
            )
            self._directions = arrays["directions"]
        return self._directions

    def _build_extractor(self) -> FeatureExtractor:
        """The feature model of the config."""
        settings, models = self.config.features, self.config.models
        made: FeatureExtractor
        if models.features == SEGMENTER_FEATURES:
            made = SegmenterTokens(self._segmenter_tokens, self.segmenter.model_id, settings.image_size)
            resampling = BICUBIC
        else:
            folder = self._features_folder()
            vit = HfVit(folder, card.model_id(folder), settings.image_size, settings.layers, self.device)
            self._reduce(vit, models.features)
            made, resampling = vit, vit.pixels.resampling
        return made if settings.tiles is None else TiledExtractor(made, settings.image_size, settings.tiles, resampling)

    def _features_folder(self) -> Path:
        """The folder of the config's feature model, fetched first where it is missing."""
        models = self.config.models
        name = models.features if store.is_model_folder(models.features) else hub_name(models.features)
        wrong = name in ZOO and ZOO[name].role != "features"
        folder = None if wrong else store.ensure(name, store.checkpoints_root(models.checkpoints))
        if folder is None or not (folder / "config.json").is_file():
            raise ModelError(f"--models.features {models.features}: not a feature model; see `gpoa models list`")
        return folder

    def _segmenter_tokens(self, image: np.ndarray, grid_size: Size) -> np.ndarray:
        """The segmenter's embedding on a patch grid: [rows * columns, 256] float32."""
        return embedding_tokens(self.embedding(image), grid_size)

    def _build_segmenter(self) -> Segmenter:
        """The segmenter of the config.

        Raises:
            ModelError: it is unknown, missing, or damaged.
            ConfigError: it has no decoder of the precision that was asked for.
        """
        models = self.config.models
        if is_segmenter_folder(models.segmenter):
            folder = Path(models.segmenter).expanduser()
            build = builder_of(folder)
        elif models.segmenter in SEGMENTERS:
            folder = store.ensure(models.segmenter, store.checkpoints_root(models.checkpoints))
            build = SEGMENTERS[models.segmenter]
        else:
            known = ", ".join(SEGMENTERS)
            raise ModelError(f"--models.segmenter {models.segmenter}: unknown segmenter; known are {known}")
        segmenter = build(folder, _weights_id(folder), self.device)
        if models.precision != "float32":
            if getattr(segmenter, "dtype", None) is None:
                raise ConfigError(f"--models.precision {models.precision}: {models.segmenter} decodes in float32 only")
            cast(_DecodesInTypes, segmenter).dtype = models.precision
        self._reduce(segmenter, models.segmenter)
        return segmenter

    def _reduce(self, model: Segmenter | FeatureExtractor, name: str) -> None:
        """Sets the encoder's number type, and names the model after it: what it makes is cached under that name.

        Raises:
            ConfigError: the model has one type only, or the device lacks the type.
        """
        asked = self.config.models.encoder_precision
        dtype = encoder_type(asked, self.device)
        if getattr(model, "encoder_dtype", None) is not None:
            if asked == "auto" and self.device == "cpu":
                dtype = _fastest_type(model)
            cast(_EncodesInTypes, model).encoder_dtype = dtype
            model.model_id = reduced_id(model.model_id, dtype)
        elif asked != "auto" and dtype != "float32":
            said = f"--models.encoder-precision {asked}: {name} encodes in float32 only; take float32 or auto"
            raise ConfigError(said)


class _EncodesInTypes(Protocol):
    """A model whose encoder runs in several number types."""

    encoder_dtype: str


class _DecodesInTypes(Protocol):
    """A segmenter whose decoder runs in several number types."""

    dtype: str


def _same(arrays: Arrays) -> Arrays:
    """What was computed before."""
    return arrays


def _fastest_type(model: Segmenter | FeatureExtractor) -> str:
    """The number type in which an encoder that was not used yet is the fastest on this CPU."""
    image = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)

    def way(dtype: str) -> Callable[[], object]:
        one: Any = copy.copy(model)  # loads weights of its own
        one.encoder_dtype = dtype
        call = one.encode if hasattr(one, "encode") else one.extract
        return lambda: call(image)

    return fastest_type(f"encoder of {model.model_id}", way)


def _weights_id(folder: Path) -> str:
    """Names the weights of a segmenter, an adapter beside them included: embeddings are cached under this name."""
    adapter = find_adapter(folder)
    own = card.model_id(folder)
    return own if adapter is None else f"{own}+{card.sha256_of(adapter)[:12]}"
