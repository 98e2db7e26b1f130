"""Many images together, against one by one, for every backend on torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segment_anything
import torch

from gpoa.errors import ModelError
from gpoa.segmenters.base import encode_many
from gpoa.segmenters.hf_sam import HfSam
from gpoa.segmenters.sam import Sam
from gpoa.segmenters.sam2 import Sam2
from gpoa.segmenters.sam_hq import SamHq
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import ImageEmbedding
from tests.segmenters.builders import random_sam
from tests.segmenters.test_sam2 import _sam2_config
from tests.segmenters.tiny_models import SIZES, picture, shake

VISION = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "global_attn_indexes": [1]}
IMAGES = [picture(SIZES[0]), picture(SIZES[1]), 255 - picture(SIZES[0])]


def _official(folder: Path) -> PromptableSegmenter:
    """A real encoder of two blocks in front of SAM's decoder."""
    import copy

    from segment_anything.modeling import ImageEncoderViT

    shape = {"embed_dim": 8, "depth": 2, "num_heads": 2, "window_size": 14, "global_attn_indexes": (1,)}
    model = copy.deepcopy(random_sam())
    model.image_encoder = shake(ImageEncoderViT(**shape, out_chans=256, use_rel_pos=True))
    torch.save(model.state_dict(), folder / "sam.pth")
    segment_anything.sam_model_registry["tiny"] = lambda: copy.deepcopy(model)
    return PromptableSegmenter(Sam(folder / "sam.pth", "tiny"), "id")


def _transformers(folder: Path, kind: str) -> Any:
    import transformers

    if kind == "Sam":
        config = transformers.SamConfig(vision_config=transformers.SamVisionConfig(**VISION, mlp_dim=24))
    elif kind == "SamHQ":
        config = transformers.SamHQConfig(
            vision_config=transformers.SamHQVisionConfig(**VISION),
            mask_decoder_config=transformers.SamHQMaskDecoderConfig(vit_dim=12),
        )
    else:
        config = _sam2_config(transformers.Sam2Config)
    shake(getattr(transformers, f"{kind}Model")(config)).save_pretrained(folder)
    return PromptableSegmenter({"Sam": HfSam, "SamHQ": SamHq, "Sam2": Sam2}[kind](folder), "id")


BUILDERS: dict[str, Callable[[Path], Any]] = {
    "sam": _official,
    "hf_sam": lambda folder: _transformers(folder, "Sam"),
    "sam_hq": lambda folder: _transformers(folder, "SamHQ"),
    "sam2": lambda folder: _transformers(folder, "Sam2"),
}


@pytest.fixture(params=list(BUILDERS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    yield BUILDERS[request.param](tmp_path)
    segment_anything.sam_model_registry.pop("tiny", None)


def _assert_near(ours: ImageEmbedding, theirs: ImageEmbedding, share: float) -> None:
    assert (ours.input_size, ours.original_size) == (theirs.input_size, theirs.original_size)
    assert set(ours.extras) == set(theirs.extras)
    pairs = [(ours.features, theirs.features), *((ours.extras[n], theirs.extras[n]) for n in theirs.extras)]
    for mine, other in pairs:
        assert mine.shape == other.shape and mine.dtype == other.dtype == torch.float32
        assert torch.equal(mine, mine.half().float())
        assert (mine - other).abs().max() <= share * other.abs().max()


def _sizes(backend: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the encoder has."""
    sizes, model = [], backend.model
    encoder = getattr(model, "vision_encoder", None) or model.image_encoder
    encoder.register_forward_pre_hook(
        lambda module, inputs, options: sizes.append(len((*inputs, *options.values())[0])), with_kwargs=True
    )
    return sizes


def test_a_batch_is_one_call_and_gives_the_same(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the rounding of the kept float16: its last bit may fall the other way."""
    sizes = _sizes(backend, monkeypatch)
    alone = [backend.encode(image) for image in IMAGES]
    assert sizes == [1, 1, 1]
    backend.batches.on_cpu = 2
    together = encode_many(backend, IMAGES)
    assert sizes[3:] == [2, 1]
    assert (alone[0].features - alone[2].features).abs().max() > 1e-2  # images differ
    for ours, theirs in zip(together, alone, strict=True):
        _assert_near(ours, theirs, 1e-3)


def test_one_by_one_on_a_cpu(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = _sizes(backend, monkeypatch)
    made, alone = encode_many(backend, IMAGES[:2]), [backend.encode(image) for image in IMAGES[:2]]
    assert sizes == [1, 1, 1, 1]
    for ours, theirs in zip(made, alone, strict=True):
        _assert_near(ours, theirs, 0)


def test_out_of_memory(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    most, model = [2], backend.model
    encoder = getattr(model, "vision_encoder", None) or model.image_encoder

    def crowded(module: torch.nn.Module, inputs: tuple, options: dict) -> None:
        if len((*inputs, *options.values())[0]) > most[0]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    encoder.register_forward_pre_hook(crowded, with_kwargs=True)
    backend.batches.on_cpu = 3
    with caplog.at_level(logging.WARNING):
        assert len(backend.encode_many(IMAGES)) == 3
    said = [record.message for record in caplog.records]
    assert said == ["cpu: out of memory with 3 images a call; going on with fewer"]
    most[0] = 0
    with pytest.raises(ModelError, match="out of memory with one of the images alone"):
        backend.encode(IMAGES[0])


def test_reduced(tmp_path: Path, backend: Any) -> None:
    """bfloat16 stays near float32, and is another."""
    exact = backend.encode(IMAGES[0])
    reduced = PromptableSegmenter(backend.backend, "id")
    reduced.encoder_dtype = "bfloat16"
    made = reduced.encode(IMAGES[0])
    assert made.features.dtype == torch.float32
    shift = (made.features - exact.features).abs().mean() / exact.features.std()
    assert 1e-5 < shift < 0.05


@pytest.mark.parametrize("kind", ["Sam", "SamHQ", "Sam2"])
def test_transformers_attends_by_sdpa(tmp_path: Path, kind: str) -> None:
    """Its default; nothing asks for it, so a change there shows here."""
    assert _transformers(tmp_path, kind).model.config._attn_implementation == "sdpa"


class _Plain:
    """A segmenter that has no `encode_many`."""

    def encode(self, image: np.ndarray) -> int:
        return int(image[0, 0, 0])


def test_segmenters_without_batches() -> None:
    assert encode_many(_Plain(), [np.full((2, 3, 3), value, np.uint8) for value in (4, 2)]) == [4, 2]
    assert encode_many(_Plain(), []) == []
