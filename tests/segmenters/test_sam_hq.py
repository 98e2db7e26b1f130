"""SAM-HQ against transformers' own forward pass, on a tiny image encoder, from both layouts of the weights."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.errors import ModelError
from gpoa.segmenters import sam_hq
from gpoa.segmenters.hf_sam import to_official, to_transformers
from gpoa.segmenters.sam_hq import SamHq, load_official
from gpoa.segmenters.segmenter import PromptableSegmenter
from tests.segmenters.builders import random_sam
from tests.segmenters.test_hf_sam import compare, processor
from tests.segmenters.tiny_models import (
    SIZES,
    asked_of,
    assert_near,
    assert_one_line,
    folders,
    picture,
    prompt_sets,
    shake,
)

WIDTH = 12
VISION = {"hidden_size": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 2, "global_attn_indexes": [1, 2]}


def _tiny_model():
    from transformers import SamHQConfig, SamHQMaskDecoderConfig, SamHQModel, SamHQVisionConfig

    config = SamHQConfig(
        vision_config=SamHQVisionConfig(**VISION), mask_decoder_config=SamHQMaskDecoderConfig(vit_dim=WIDTH)
    )
    return shake(SamHQModel(config), 0.2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """transformers' layout."""
    folder = tmp_path_factory.mktemp("sam_hq")
    _tiny_model().save_pretrained(folder)
    return folder


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same weights in the layout of the official `.pth` files."""
    monkeypatch.setitem(sam_hq._ENCODERS, WIDTH, (3, 2, (1, 2)))
    state = {
        to_official(n): v for n, v in _tiny_model().state_dict().items() if not n.startswith("shared_image_embedding")
    }
    torch.save(state, tmp_path / "sam_hq_vit_tiny.pth")
    return tmp_path


@pytest.mark.parametrize("size", SIZES)
def test_equals_transformers(tiny: Path, size: tuple[int, int]) -> None:
    from transformers import SamHQModel

    for folder in folders(tiny, "sam_hq_vit_l"):
        model = SamHQModel.from_pretrained(folder, dtype=torch.float32).eval()
        segmenter = PromptableSegmenter(SamHq(folder), "id")
        image = picture(size)
        embedding = segmenter.encode(image)
        pixels = asked_of(processor(), image, prompt_sets()[0])["pixel_values"]
        final, between = model.get_image_embeddings(pixels)
        assert_near(embedding.features.numpy(), final.numpy(), 0.05)
        assert_near(embedding.extras["early"].numpy(), between[0].numpy(), 0.05)
        maps = {"image_embeddings": embedding.features, "intermediate_embeddings": [embedding.extras["early"]]}
        sets = prompt_sets() if size == SIZES[0] else prompt_sets()[:1]
        compare(segmenter, model, image, maps, sets)


def test_official_layout_is_the_same_model(tiny: Path, official: Path) -> None:
    image, sets = picture(SIZES[0]), prompt_sets()[:3]
    answers = []
    for folder in (tiny, official):
        segmenter = PromptableSegmenter(SamHq(folder), "id")
        answers.append(segmenter.decode(segmenter.encode(image), sets, all_outputs=True).low_res_logits)
    np.testing.assert_array_equal(*answers)


def test_official_names_are_those_of_the_repository() -> None:
    """Spot checks against the names in SysCV/sam-hq's modules, and SAM's own names in full."""
    names = {to_official(name) for name in _tiny_model().state_dict()}
    for name in (
        "mask_decoder.hf_token.weight",
        "mask_decoder.hf_mlp.layers.0.weight",
        "mask_decoder.hf_mlp.layers.2.bias",
        "mask_decoder.compress_vit_feat.0.weight",
        "mask_decoder.compress_vit_feat.1.bias",
        "mask_decoder.embedding_encoder.3.weight",
        "mask_decoder.embedding_maskfeature.0.weight",
        "mask_decoder.embedding_maskfeature.3.bias",
        "image_encoder.blocks.2.attn.rel_pos_h",
        "image_encoder.blocks.0.norm2.weight",
        "image_encoder.patch_embed.proj.weight",
        "image_encoder.neck.2.weight",
        "image_encoder.pos_embed",
    ):
        assert name in names
    own = {name for name in random_sam().state_dict() if name.startswith(("prompt_encoder.", "mask_decoder."))}
    assert own <= names
    for name in _tiny_model().state_dict():
        assert to_transformers(to_official(name)) == name


def test_counts_of_masks_and_embedding(tiny: Path) -> None:
    segmenter = PromptableSegmenter(SamHq(tiny), "the-id")
    embedding = segmenter.encode(picture(SIZES[0]))
    assert embedding.features.shape == (1, 256, 64, 64)
    assert {name: tuple(tensor.shape) for name, tensor in embedding.extras.items()} == {"early": (1, 64, 64, WIDTH)}
    early = embedding.extras["early"]
    assert torch.equal(early, early.half().float())
    sets = prompt_sets()[-2:] + prompt_sets()[:1]
    every = segmenter.decode(embedding, sets, all_outputs=True)
    single, three = segmenter.decode(embedding, sets), segmenter.decode(embedding, sets, multimask_output=True)
    np.testing.assert_array_equal(single.low_res_logits, every.low_res_logits[:, :1])
    np.testing.assert_array_equal(three.low_res_logits, every.low_res_logits[:, 1:])
    segmenter.decoder.batch_size = 8
    many = segmenter.decode(embedding, sets, all_outputs=True)
    assert_near(many.low_res_logits, every.low_res_logits, 1e-3)
    assert segmenter.model_id == "the-id"


class _Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "it has no high-quality token"),
        ({"weight": torch.zeros(1)}, "it has no high-quality token"),
        ([1, 2], "not a SAM-HQ checkpoint"),
        ("sam", "it has no high-quality token.*sam_vit_b"),
        ("shape", "not a SAM-HQ checkpoint"),
        ("depth", "an image encoder of 2 layers of width 12 is none of"),
        ("lost", "not a SAM-HQ checkpoint"),
        ("hostile", "not a SAM-HQ checkpoint"),
    ],
)
def test_unusable_checkpoints(official: Path, state: object, message: str) -> None:
    path = official / "sam_hq_vit_tiny.pth"
    good = torch.load(path, weights_only=True)
    hostile = official / "made"
    spoilt = {
        "sam": lambda: {name: value for name, value in good.items() if "hf_" not in name},
        "shape": lambda: {**good, "mask_decoder.hf_token.weight": torch.zeros(2, 256)},
        "depth": lambda: {name: value for name, value in good.items() if "blocks.2" not in name},
        "lost": lambda: {name: value for name, value in good.items() if name != "mask_decoder.iou_token.weight"},
        "hostile": lambda: {"weight": _Hostile(hostile)},
    }
    torch.save(spoilt[state]() if isinstance(state, str) else state, path)
    with pytest.raises(ModelError, match=message) as raised:
        PromptableSegmenter(SamHq(official), "id").encode(picture(SIZES[0]))
    assert_one_line(raised)
    assert str(path) in str(raised.value)
    assert not hostile.exists()


@pytest.mark.parametrize("content", [b"", b"not found"])
def test_damaged_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ModelError, match="not a SAM-HQ checkpoint") as raised:
        load_official(tmp_path / "a.pth")
    assert_one_line(raised)


def test_folder_of_another_model(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(ModelError, match="is of a 'sam' model, not of sam_hq"):
        PromptableSegmenter(SamHq(tmp_path / "m"), "id").encode(picture(SIZES[0]))
