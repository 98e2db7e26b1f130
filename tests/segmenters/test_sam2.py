"""SAM 2.1 and SAM 3 against transformers' own processor and forward pass, on tiny models in the published layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa import geometry
from gpoa.errors import ModelError
from gpoa.segmenters import stretched
from gpoa.segmenters.base import upscale_logits
from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.segmenters.sam2 import SAM2, Sam2
from gpoa.segmenters.sam3 import SAM3, sam3
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import ImageEmbedding
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

BACKBONE = {
    "hidden_size": 8,
    "embed_dim_per_stage": [8, 16, 32, 64],
    "blocks_per_stage": [1, 1, 2, 1],
    "num_attention_heads_per_stage": [1, 1, 2, 2],
    "global_attention_blocks": [3],
}


def _sam2_config(kind: type):
    from transformers import Sam2VisionConfig

    backbone = {"model_type": "sam2_hiera_det_model", **BACKBONE}
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8])
    return kind(vision_config=vision)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Sam2Model of the real shape but for its backbone."""
    from transformers import Sam2Config, Sam2Model

    folder = tmp_path_factory.mktemp("sam2")
    shake(Sam2Model(_sam2_config(Sam2Config))).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of the published repositories: a video model's weights and config."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    folder = tmp_path_factory.mktemp("sam2_video")
    shake(Sam2VideoModel(_sam2_config(Sam2VideoConfig))).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Sam3TrackerConfig, Sam3TrackerModel, Sam3VisionConfig, Sam3ViTConfig

    vit = Sam3ViTConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, global_attn_indexes=[]
    )
    folder = tmp_path_factory.mktemp("sam3")
    shake(Sam3TrackerModel(Sam3TrackerConfig(vision_config=Sam3VisionConfig(backbone_config=vit)))).save_pretrained(
        folder
    )
    return folder


def _reference(class_name: str, folder: Path):
    import transformers

    return getattr(transformers, class_name).from_pretrained(folder, dtype=torch.float32).eval()


def _processor(class_name: str):
    import transformers

    image = {"Sam2Model": "Sam2ImageProcessor", "Sam3TrackerModel": "Sam3ImageProcessor"}[class_name]
    whole = {"Sam2Model": "Sam2Processor", "Sam3TrackerModel": "Sam3TrackerProcessor"}[class_name]
    return getattr(transformers, whole)(getattr(transformers, image)())


def _compare(segmenter: PromptableSegmenter, folder: Path, size: tuple[int, int]) -> None:
    """The encoder from the picture, the decoder for all kinds of prompt sets, and once the whole way."""
    name = segmenter.backend.family.class_name
    model, processor = _reference(name, folder), _processor(name)
    image, sets = picture(size), prompt_sets()
    embedding = segmenter.encode(image)
    maps = list(embedding.extras.values())
    pixels = asked_of(processor, image, sets[0])["pixel_values"]
    for ours, theirs in zip(maps, model.get_image_embeddings(pixels), strict=True):
        assert_near(ours.numpy(), theirs.numpy(), 0.05)
    made = segmenter.decode(embedding, sets, all_outputs=True)
    assert made.low_res_logits.shape == (len(sets), 4, 256, 256)
    low = model.prompt_encoder.mask_input_size[0]
    for index, prompt in enumerate(sets):
        inputs = asked_of(processor, image, prompt)
        if prompt.mask_prompt is not None:
            mask = stretched.mask_to_stretched(prompt.mask_prompt, size, low)
            inputs["input_masks"] = torch.from_numpy(mask)[None, None]
        if index == 0:
            masks, iou = library_masks(model, inputs)
            assert_near(made.low_res_logits[index], stretched.masks_to_padded(masks, size), 0.05)
        del inputs["pixel_values"]
        masks, iou = library_masks(model, {**inputs, "image_embeddings": maps})
        assert_near(made.low_res_logits[index], stretched.masks_to_padded(masks, size), 1e-3)
        np.testing.assert_allclose(made.iou_predictions[index], iou, atol=1e-4)
    differences = np.abs(np.diff(made.low_res_logits[:6, 0], axis=0)).mean(axis=(1, 2))
    assert (differences > 0.01 * made.low_res_logits.std()).all()  # prompts matter, so equal masks mean something


@pytest.mark.parametrize("size", SIZES)
def test_sam2_equals_transformers(tiny: Path, size: tuple[int, int]) -> None:
    for folder in folders(tiny, "sam2.1_tiny"):
        _compare(PromptableSegmenter(Sam2(folder), "id"), folder, size)


def test_sam3_equals_transformers(tiny3: Path) -> None:
    for folder in folders(tiny3, "sam3"):
        _compare(PromptableSegmenter(sam3(folder), "id"), folder, SIZES[0])


def test_published_layout_is_a_video_model(tiny_video: Path) -> None:
    assert json.loads((tiny_video / "config.json").read_text())["model_type"] == "sam2_video"
    _compare(PromptableSegmenter(Sam2(tiny_video), "id"), tiny_video, SIZES[0])


def test_counts_of_masks(tiny: Path) -> None:
    segmenter = PromptableSegmenter(Sam2(tiny), "the-id")
    embedding = segmenter.encode(picture(SIZES[0]))
    sets = prompt_sets()[:2]
    every = segmenter.decode(embedding, sets, all_outputs=True)
    single, three = segmenter.decode(embedding, sets), segmenter.decode(embedding, sets, multimask_output=True)
    np.testing.assert_array_equal(single.low_res_logits, every.low_res_logits[:, :1])
    np.testing.assert_array_equal(three.low_res_logits, every.low_res_logits[:, 1:])
    np.testing.assert_array_equal(three.iou_predictions, every.iou_predictions[:, 1:])
    assert segmenter.decode(embedding, []).low_res_logits.shape == (0, 1, 256, 256)
    assert segmenter.model_id == "the-id"


def test_batches_answer_like_single_calls(tiny: Path) -> None:
    segmenter = PromptableSegmenter(Sam2(tiny), "id")
    embedding = segmenter.encode(picture(SIZES[0]))
    one = segmenter.decode(embedding, prompt_sets(), all_outputs=True)
    segmenter.decoder.batch_size = 8
    many = segmenter.decode(embedding, prompt_sets(), all_outputs=True)
    assert_near(many.low_res_logits, one.low_res_logits, 1e-3)


def test_embedding(tiny: Path) -> None:
    made = PromptableSegmenter(Sam2(tiny), "id").encode(picture((60, 100)))
    assert (made.original_size, made.input_size) == ((60, 100), (614, 1024))
    shapes = {name: tuple(tensor.shape) for name, tensor in made.extras.items()}
    assert shapes == {
        "high_resolution_0": (1, 32, 256, 256),
        "high_resolution_1": (1, 64, 128, 128),
        "image": (1, 256, 64, 64),
    }
    for tensor in (made.features, *made.extras.values()):
        assert torch.equal(tensor, tensor.half().float())
        assert tensor.dtype == torch.float32
    assert made.features.shape == (1, 256, 64, 64)
    assert (made.features[..., 39:, :] == 0).all() and (made.features[..., 38, :] != 0).any()  # ceil(614 / 16) rows


def test_the_cache_keeps_all_maps(tiny: Path, tmp_path: Path) -> None:
    """Computed and read again, bit for bit; an entry of a model without extras has none."""
    from gpoa.features.cache import EmbeddingCache
    from gpoa.pipeline.backbones import Backbones

    service = Backbones.__new__(Backbones)
    service.segmenter = PromptableSegmenter(Sam2(tiny), "id")
    service.cache, service.device = EmbeddingCache(tmp_path), "cpu"
    service._ahead = [{}, {}]
    image = picture(SIZES[0])
    made, kept, direct = (
        service._load_embedding(image, "k"),
        service._load_embedding(image, "k"),
        PromptableSegmenter(Sam2(tiny), "id").encode(image),
    )
    assert (service.cache.hits, service.cache.misses) == (1, 1)
    for one in (made, kept):
        assert torch.equal(one.features, direct.features)
        assert (one.input_size, one.original_size) == (direct.input_size, direct.original_size)
        assert set(one.extras) == set(direct.extras)
        assert all(torch.equal(one.extras[name], direct.extras[name]) for name in direct.extras)
    old = {"features": np.ones((1, 256, 64, 64), np.float16)}  # as written before there were extras
    service.cache.get_or_compute("old", "id", lambda: old)
    assert dict(service._load_embedding(image, "old").extras) == {}


@pytest.mark.parametrize("size", [*SIZES, (64, 64)])
@pytest.mark.parametrize(("family", "side"), [(SAM2, 1024), (SAM3, 1008)])
def test_preprocessing_agrees_with_the_library(size: tuple[int, int], family, side: int) -> None:
    image = picture(size)
    ours = stretched.stretch(image, side, family.mean, family.std)
    theirs = _processor(family.class_name)(images=image, return_tensors="pt")["pixel_values"].numpy()
    assert ours.shape == theirs.shape == (1, 3, side, side)
    assert np.abs((ours - theirs) * family.std[:, None, None]).max() <= 1.001  # one grey level


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("class_name", ["Sam2Model", "Sam3TrackerModel"])
def test_coordinates_agree_with_the_library(size: tuple[int, int], class_name: str) -> None:
    xy = np.array([[0.0, 0.0], [12.5, 33.25], [size[1] - 1, size[0] - 1]], np.float32)
    processor = _processor(class_name)
    boxes = [[[1.0, 2.0, 30.0, 40.0]]]
    made = processor(images=picture(size), input_points=[[xy.tolist()]], input_boxes=boxes, return_tensors="pt")
    ours = stretched.to_stretched_points(xy, size, processor.target_size)
    np.testing.assert_allclose(ours, made["input_points"][0, 0].numpy(), atol=0.01)
    corners = stretched.to_stretched_points(np.array([[1.0, 2.0], [30.0, 40.0]]), size, processor.target_size)
    np.testing.assert_allclose(corners.reshape(-1), made["input_boxes"][0, 0].numpy(), atol=0.01)


def _disc(side: int, height: float, width: float) -> np.ndarray:
    """Logits of an ellipse in a stretched square, a circle in an image of height x width."""
    rows, columns = (np.mgrid[0:side, 0:side] + 0.5) / side
    return (0.3 - np.hypot((rows - 0.5) * height, (columns - 0.6) * width) / max(height, width)).astype(np.float32) * 40


@pytest.mark.parametrize("size", [*SIZES, (64, 64), (30, 200)])
@pytest.mark.parametrize("side", [256, 288])
def test_masks_keep_their_place(size: tuple[int, int], side: int) -> None:
    """Through the padded frame to the original size, as near as the library's own enlargement of the stretched mask."""
    logits = _disc(side, *size)
    from torch.nn.functional import interpolate

    direct = interpolate(torch.from_numpy(logits)[None, None], size, mode="bilinear")[0, 0].numpy()
    padded = stretched.masks_to_padded(logits, size)
    ours = upscale_logits(padded, geometry.sam_input_size(size), size)
    assert padded.shape == (256, 256)
    inside = np.s_[1:-1, 1:-1]
    assert np.abs(ours - direct)[inside].max() < 0.9  # logits; the slope is up to 40 over the longer side
    assert ((ours > 0) != (direct > 0)).mean() < 0.01


@pytest.mark.parametrize("size", [*SIZES, (64, 64)])
@pytest.mark.parametrize("side", [256, 288])
def test_round_trip(size: tuple[int, int], side: int) -> None:
    logits = _disc(side, *size)
    back = stretched.mask_to_stretched(stretched.masks_to_padded(logits, size), size, side)
    assert back.shape == (side, side)
    assert np.abs(back - logits).max() < 0.6
    assert ((back > 0) != (logits > 0)).mean() < 0.005


def test_a_square_image_is_not_resampled() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 3, 256, 256)).astype(np.float32)
    np.testing.assert_allclose(stretched.masks_to_padded(logits, (50, 50)), logits, atol=1e-6)
    np.testing.assert_allclose(stretched.mask_to_stretched(logits[0, 0], (50, 50), 256), logits[0, 0], atol=1e-6)


def test_padding_is_background_and_the_edge_is_continued() -> None:
    frame = stretched.masks_to_padded(np.full((256, 256), 5.0, np.float32), (50, 100))
    assert (frame[:129] == 5).all()  # 128 rows of image and one more
    assert (frame[129:] == stretched.PADDING_LOGIT).all()
    assert (upscale_logits(frame, (512, 1024), (50, 100)) > 4.99).all()


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (64, 64)])
@pytest.mark.parametrize("cells", [64, 72])
def test_tokens_lie_where_the_image_is(size: tuple[int, int], cells: int) -> None:
    """A stretched embedding that grows to the right and downwards gives tokens that do, over the whole grid."""
    steps = (torch.arange(cells) + 0.5) / cells
    features = torch.zeros(1, 256, cells, cells)
    features[0, 0], features[0, 1], features[0, 2] = steps[:, None], steps[None], 1
    padded = stretched.features_to_padded(features, size)
    embedding = ImageEmbedding(padded, geometry.sam_input_size(size), size)
    tokens = embedding_tokens(embedding, (8, 8)).reshape(8, 8, 256)
    down, right = tokens[..., 0] / tokens[..., 2], tokens[..., 1] / tokens[..., 2]
    want = (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(down, np.repeat(want[:, None], 8, axis=1), atol=0.02)
    np.testing.assert_allclose(right, np.repeat(want[None], 8, axis=0), atol=0.02)


def test_other_and_damaged_folders(tiny: Path, tmp_path: Path) -> None:
    import shutil

    image = picture(SIZES[0])
    with pytest.raises(ModelError, match="config.json: missing or damaged") as raised:
        PromptableSegmenter(Sam2(tmp_path), "id").encode(image)
    assert_one_line(raised)
    shutil.copytree(tiny, tmp_path / "other")
    config = json.loads((tiny / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps({**config, "model_type": "sam"}))
    with pytest.raises(ModelError, match="is of a 'sam' model, not of sam2 or sam2_video"):
        PromptableSegmenter(Sam2(tmp_path / "other"), "id").encode(image)
    shutil.copytree(tiny, tmp_path / "cut")
    content = (tiny / "model.safetensors").read_bytes()
    (tmp_path / "cut" / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot be loaded as Sam2Model") as raised:
        PromptableSegmenter(Sam2(tmp_path / "cut"), "id").encode(image)
    assert_one_line(raised)


def test_missing_weights_are_named(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(tiny / "model.safetensors")
    state.pop("mask_decoder.iou_token.weight")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text())
    with pytest.raises(
        ModelError, match="1 weights of Sam2Model are missing, the first is mask_decoder.iou_token.weight"
    ):
        PromptableSegmenter(Sam2(tmp_path), "id").encode(picture(SIZES[0]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has what the test wants absent")
def test_absent_device(tiny: Path) -> None:
    with pytest.raises(ModelError, match="cannot be put on cuda .*--models.device cpu") as raised:
        PromptableSegmenter(Sam2(tiny), "id", "cuda").encode(picture(SIZES[0]))
    assert_one_line(raised)
