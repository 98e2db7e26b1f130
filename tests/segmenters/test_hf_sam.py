"""SAM and SlimSAM in transformers' layout, against transformers' processor and forward pass, on a tiny encoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.errors import ModelError
from gpoa.geometry import to_sam_points
from gpoa.segmenters.hf_sam import HfSam, group_of, to_official, to_transformers
from gpoa.segmenters.preprocess import PIXEL_STD, preprocess
from gpoa.segmenters.segmenter import Job, PromptableSegmenter, batches_of
from gpoa.types import PointPrompts
from tests.segmenters.builders import embedding_of, random_sam
from tests.segmenters.tiny_models import (
    SIZES,
    asked_of,
    assert_near,
    assert_one_line,
    folders,
    library_masks,
    picture,
    prompt_sets,
    shake,
)

VISION = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "global_attn_indexes": [1],
    "mlp_dim": 24,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real decoder and a pruned encoder, as SlimSAM has it: width and mlp_dim of its own."""
    from transformers import SamConfig, SamModel, SamVisionConfig

    folder = tmp_path_factory.mktemp("sam")
    shake(SamModel(SamConfig(vision_config=SamVisionConfig(**VISION)))).save_pretrained(folder)
    return folder


def processor():
    from transformers import SamImageProcessor, SamProcessor

    return SamProcessor(SamImageProcessor())


def compare(segmenter, model, image: np.ndarray, maps: dict, sets: list[PointPrompts]) -> None:
    """All masks of prompt sets from the segmenter's own embedding; and of the first, the whole way from the picture."""
    made = segmenter.decode(segmenter.encode(image), sets, all_outputs=True)
    for index, prompt in enumerate(sets):
        inputs = asked_of(processor(), image, prompt)
        if prompt.mask_prompt is not None:
            inputs["input_masks"] = torch.from_numpy(prompt.mask_prompt)[None, None]
        if index == 0:
            assert_near(made.low_res_logits[index], library_masks(model, inputs)[0], 0.05)
        del inputs["pixel_values"]
        masks, iou = library_masks(model, {**inputs, **maps})
        assert_near(made.low_res_logits[index], masks, 1e-3)
        np.testing.assert_allclose(made.iou_predictions[index], iou, atol=1e-3)
    differences = np.abs(np.diff(made.low_res_logits[:, 0], axis=0)).mean(axis=(1, 2))
    assert (differences > 0.005 * made.low_res_logits.std()).all()  # prompts matter, so equal masks mean something


@pytest.mark.parametrize("size", SIZES)
def test_equals_transformers(tiny: Path, size: tuple[int, int]) -> None:
    from transformers import SamModel

    for folder in folders(tiny, "slimsam-77"):
        model = SamModel.from_pretrained(folder, dtype=torch.float32).eval()
        segmenter = PromptableSegmenter(HfSam(folder), "id")
        image, sets = picture(size), prompt_sets()
        embedding = segmenter.encode(image)
        pixels = asked_of(processor(), image, sets[0])["pixel_values"]
        assert_near(embedding.features.numpy(), model.get_image_embeddings(pixels).numpy(), 0.05)
        compare(segmenter, model, image, {"image_embeddings": embedding.features}, sets)


def test_embedding(tiny: Path) -> None:
    made = PromptableSegmenter(HfSam(tiny), "id").encode(picture((60, 100)))
    assert (made.original_size, made.input_size, dict(made.extras)) == ((60, 100), (614, 1024), {})
    assert made.features.shape == (1, 256, 64, 64)
    assert torch.equal(made.features, made.features.half().float())
    assert made.features.std() > 0.01


@pytest.mark.parametrize("size", [*SIZES, (64, 64), (600, 400)])
def test_preprocessing_agrees_with_the_library(size: tuple[int, int]) -> None:
    image = picture(size)
    ours, inside = preprocess(image)
    theirs = processor()(images=image, return_tensors="pt")
    assert tuple(theirs["reshaped_input_sizes"][0].tolist()) == inside
    assert np.abs((ours - theirs["pixel_values"].numpy()) * PIXEL_STD[:, None, None]).max() <= 1.001  # one grey level


@pytest.mark.parametrize("size", SIZES)
def test_coordinates_agree_with_the_library(size: tuple[int, int]) -> None:
    xy = np.array([[0.0, 0.0], [12.5, 33.25], [size[1] - 1, size[0] - 1]], np.float32)
    made = processor()(images=picture(size), input_points=[[xy.tolist()]], return_tensors="pt")
    np.testing.assert_allclose(to_sam_points(xy, size), made["input_points"][0, 0].numpy(), atol=0.01)


def test_names_go_both_ways() -> None:
    """The names of a SAM in the official layout are found again, and are those of transformers' own model."""
    from transformers import SamConfig, SamModel, SamVisionConfig

    theirs = set(SamModel(SamConfig(vision_config=SamVisionConfig(**VISION))).state_dict())
    official = [name for name in random_sam().state_dict() if not name.startswith(("image_encoder.", "pixel_"))]
    assert [to_official(to_transformers(name)) for name in official] == official
    assert {to_transformers(name) for name in official} == {
        name for name in theirs if name.startswith(("prompt_encoder.", "mask_decoder."))
    }
    assert to_official("vision_encoder.layers.3.layer_norm1.weight") == "image_encoder.blocks.3.norm1.weight"
    assert to_transformers("image_encoder.neck.3.bias") == "vision_encoder.neck.layer_norm2.bias"
    assert to_official("prompt_encoder.not_a_point_embed.weight") == "prompt_encoder.not_a_point_embed.weight"


def test_batches_of_one_shape() -> None:
    embedding = embedding_of((60, 100), (614, 1024))
    groups = [group_of(Job(0, place, embedding, prompts)) for place, prompts in enumerate(prompt_sets())]
    assert batches_of(groups, 8) == [[0, 6], [1], [2], [3], [4], [5]]
    assert batches_of(groups, 1) == [[0], [6], [1], [2], [3], [4], [5]]
    assert batches_of([], 8) == []


def test_an_adapter_in_the_folder_is_merged(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shutil.copytree(tiny, tmp_path / "m")
    state = {}
    for index in range(4):
        state[f"w_a_{index:03d}"], state[f"w_b_{index:03d}"] = torch.randn(2, 12), torch.randn(12, 2)
    save_file(state, tmp_path / "m" / "lora.safetensors")
    image = picture(SIZES[0])
    before, after = (PromptableSegmenter(HfSam(folder), "id").encode(image) for folder in (tiny, tmp_path / "m"))
    assert (before.features - after.features).abs().max() > 0.01
    save_file({"w_a_000": torch.zeros(2, 13), "w_b_000": torch.zeros(12, 2)}, tmp_path / "m" / "lora.safetensors")
    with pytest.raises(ModelError, match=r"lora.safetensors: w_a_000 has shape \[2, 13\], expected \[2, 12\]"):
        PromptableSegmenter(HfSam(tmp_path / "m"), "id").encode(image)


def _both_ways(folder: Path) -> list:
    image = np.zeros((30, 50, 3), np.uint8)
    prompt = PointPrompts(np.array([[1, 2]], np.float32), np.array([1]))
    return [
        lambda: PromptableSegmenter(HfSam(folder), "id").encode(image),
        lambda: PromptableSegmenter(HfSam(folder), "id").decode(embedding_of((30, 50), (614, 1024)), [prompt]),
    ]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing or damaged"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: missing or damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: missing or damaged"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "dinov2"}'),
            "is of a 'dinov2' model, not of sam",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded as SamModel"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cannot be loaded as SamModel"),
        (lambda folder: _cut(folder / "model.safetensors"), "cannot be loaded as SamModel"),
        (lambda folder: _change_config(folder, "hidden_size", 16), "cannot be loaded as SamModel"),
        (
            lambda folder: _change_config(folder, "num_hidden_layers", 3),
            "weights of SamModel are missing, the first is",
        ),
        (lambda folder: _only_pickle(folder), "cannot be loaded as SamModel"),
    ],
    ids=["no-config", "cut-config", "list", "dinov2", "no-weights", "empty", "cut", "width", "depth", "pickle"],
)
def test_unusable_folders(tiny: Path, tmp_path: Path, spoil, message: str) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny, folder)
    spoil(folder)
    for call in _both_ways(folder):
        with pytest.raises(ModelError, match=message) as raised:
            call()
        assert_one_line(raised)
        assert str(folder) in str(raised.value)
    assert not (folder / "made").exists()  # no code from a file was run


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _change_config(folder: Path, key: str, value: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"][key] = value
    (folder / "config.json").write_text(json.dumps(config))


class _Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        import os

        return os.mkdir, (str(self.folder),)


def _only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"mask_decoder.iou_token.weight": _Hostile(folder / "made")}, folder / "pytorch_model.bin")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has what the test wants absent")
def test_absent_device(tiny: Path) -> None:
    with pytest.raises(ModelError, match="cannot be put on cuda .*--models.device cpu") as raised:
        PromptableSegmenter(HfSam(tiny), "id", "cuda").encode(picture(SIZES[0]))
    assert_one_line(raised)


def test_old_transformers(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    from gpoa.segmenters.hf_sam import load_transformers

    with pytest.raises(
        ModelError, match=f"transformers {transformers.__version__} has no SamFuture; run `pip install -U"
    ):
        load_transformers("SamFuture", ("sam",), tiny, "cpu")
