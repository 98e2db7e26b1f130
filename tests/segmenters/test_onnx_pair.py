"""ONNX pairs: tiny graphs of all faces, the export of a random SAM, and the real MobileSAM pair."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from gpoa.errors import ModelError
from gpoa.segmenters import stretched
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.segmenters.onnx_pair import OnnxPair, pair_of
from gpoa.segmenters.preprocess import preprocess
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import PointPrompts
from tests.segmenters.tiny_models import SIZES, assert_one_line, picture, prompt_sets

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
POINT = PointPrompts(np.array([[40.0, 30.0]], np.float32), np.array([1]))


def _save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray] | None = None) -> None:
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    infos = [[helper.make_tensor_value_info(*one) for one in group] for group in (inputs, outputs)]
    graph = helper.make_graph(nodes, "g", *infos, initializer=tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _encoder(
    path: Path, name: str = "x", output: str = "y", sides: tuple = (1024, 1024), channels: int = 256, more: bool = False
) -> None:
    """The mean of the three channels over cells of 16 pixels, in every one of the embedding's channels."""
    nodes = [
        helper.make_node("ReduceMean", [name], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Resize", ["grey", "", "", "size"], ["small"], mode="linear"),
        helper.make_node("Expand", ["small", "shape"], [output]),
    ]
    outputs = [(output, FLOAT, [1, channels, 64, 64])]
    if more:
        nodes.append(helper.make_node("Mul", ["small", "two"], ["interm_embeddings"]))
        outputs.append(("interm_embeddings", FLOAT, [1, 1, 64, 64]))
    constants = {
        "size": np.array([1, 1, 64, 64]),
        "shape": np.array([1, channels, 64, 64]),
        "two": np.array(2, np.float32),
    }
    _save(path, nodes, [(name, FLOAT, [1, 3, *sides])], outputs, constants)


def _masks_of(features: str, masks: int, rank: int, out: str) -> list:
    """Nodes that enlarge channel 0 of the embedding, mask m being m + 1 times it."""
    shape = {4: "as4", 5: "as5"}[rank]
    return [
        helper.make_node("Slice", [features, "zero", "one"], ["first"]),
        helper.make_node("Resize", ["first", "", "", "low"], ["enlarged"], mode="linear"),
        helper.make_node("Mul", ["enlarged", "factors"], ["four"]),
        helper.make_node("Reshape", ["four", shape], [out]),
    ]


def _constants(masks: int) -> dict[str, np.ndarray]:
    return {
        "zero": np.array([0, 0]),
        "one": np.array([1, 1]),
        "low": np.array([1, 1, 256, 256]),
        "factors": np.arange(1, masks + 1, dtype=np.float32).reshape(1, masks, 1, 1),
        "as4": np.array([1, masks, 256, 256]),
        "as5": np.array([1, 1, masks, 256, 256]),
        "scores": (np.arange(masks, dtype=np.float32) / 8).reshape(1, masks),
    }


def _fixed_scores(name: str) -> list:
    return [helper.make_node("Identity", ["scores"], [name])]


def _official(path: Path, masks: int = 4, channels: int = 256, more: bool = False) -> None:
    """Masks of the embedding plus the sum of all the other inputs, so that each is seen to arrive."""
    inputs = [
        ("image_embeddings", FLOAT, [1, channels, 64, 64]),
        ("point_coords", FLOAT, [1, "n", 2]),
        ("point_labels", FLOAT, [1, "n"]),
        ("mask_input", FLOAT, [1, 1, 256, 256]),
        ("has_mask_input", FLOAT, [1]),
        ("orig_im_size", FLOAT, [2]),
    ]
    nodes = _masks_of("image_embeddings", masks, 4, "plain") + _fixed_scores("iou_predictions")
    seen = [name for name, *_ in inputs[1:]]
    if more:
        inputs.append(("interm_embeddings", FLOAT, [1, 1, 64, 64]))
        seen.append("interm_embeddings")
    for index, name in enumerate(seen):
        nodes.append(helper.make_node("ReduceSum", [name], [f"sum_{index}"], keepdims=0))
    nodes.append(helper.make_node("Sum", ["plain", *(f"sum_{index}" for index in range(len(seen)))], ["low_res_masks"]))
    outputs = [("iou_predictions", FLOAT, [1, masks]), ("low_res_masks", FLOAT, [1, masks, 256, 256])]
    _save(path, nodes, inputs, outputs, _constants(masks))


def _edge(path: Path) -> None:
    """EdgeSAM's face."""
    inputs = [
        ("image_embeddings", FLOAT, [1, 256, 64, 64]),
        ("point_coords", FLOAT, [1, "n", 2]),
        ("point_labels", FLOAT, [1, "n"]),
    ]
    nodes = _masks_of("image_embeddings", 4, 4, "plain") + _fixed_scores("scores_out")
    nodes += [
        helper.make_node("ReduceSum", ["point_coords"], ["a"], keepdims=0),
        helper.make_node("ReduceSum", ["point_labels"], ["b"], keepdims=0),
        helper.make_node("Sum", ["plain", "a", "b"], ["masks"]),
    ]
    nodes[-4] = helper.make_node("Identity", ["scores_in"], ["scores"])
    constants = _constants(4)
    constants["scores_in"] = constants.pop("scores")
    _save(path, nodes, inputs, [("scores", FLOAT, [1, 4]), ("masks", FLOAT, [1, 4, 256, 256])], constants)


def _efficient(path: Path) -> None:
    """EfficientSAM's face: a third output without a name of its own, sizes as integers."""
    inputs = [
        ("image_embeddings", FLOAT, ["batch", 256, 64, 64]),
        ("batched_point_coords", FLOAT, [1, 1, "n", 2]),
        ("batched_point_labels", FLOAT, [1, 1, "n"]),
        ("orig_im_size", INT64, [2]),
    ]
    nodes = _masks_of("image_embeddings", 3, 4, "plain") + [
        helper.make_node("Reshape", ["scores", "as3"], ["iou_predictions"]),
        helper.make_node("ReduceSum", ["batched_point_coords"], ["a"], keepdims=0),
        helper.make_node("ReduceSum", ["batched_point_labels"], ["b"], keepdims=0),
        helper.make_node("ReduceSum", ["orig_im_size"], ["c"], keepdims=0),
        helper.make_node("Cast", ["c"], ["d"], to=FLOAT),
        helper.make_node("Sum", ["plain", "a", "b", "d"], ["2500"]),
        helper.make_node("Reshape", ["2500", "as5"], ["output_masks"]),
    ]
    outputs = [
        ("output_masks", FLOAT, [1, 1, 3, 256, 256]),
        ("iou_predictions", FLOAT, [1, 1, 3]),
        ("2500", FLOAT, [1, 3, 256, 256]),
    ]
    _save(path, nodes, inputs, outputs, {**_constants(3), "as3": np.array([1, 1, 3])})


def _enlarged(cells: np.ndarray) -> np.ndarray:
    from torch.nn.functional import interpolate

    return interpolate(torch.from_numpy(cells), (256, 256), mode="bilinear", align_corners=False).numpy()[0, 0]


@pytest.mark.parametrize(
    ("name", "output"), [("x", "image_embeddings"), ("input_image", "output"), ("image", "embeddings")]
)
@pytest.mark.parametrize("size", SIZES)
def test_official_face(tmp_path: Path, size: tuple[int, int], name: str, output: str) -> None:
    """Every input arrives as SAM's export wants it, a padding point included; the encoder's names do not matter."""
    _encoder(tmp_path / "a_encoder.onnx", name, output)
    _official(tmp_path / "a_decoder.onnx")
    pair, image = PromptableSegmenter(OnnxPair(tmp_path), "the-id"), picture(size)
    embedding = pair.encode(image)
    pixels, inside = preprocess(image)
    cells = torch.nn.functional.interpolate(
        torch.from_numpy(pixels.mean(1, keepdims=True)), (64, 64), mode="bilinear"
    ).numpy()
    np.testing.assert_allclose(embedding.features[0, 7].numpy(), cells[0, 0], atol=2e-3)
    assert torch.equal(embedding.features, embedding.features.half().float())
    assert (embedding.input_size, embedding.original_size, dict(embedding.extras)) == (inside, size, {})
    made = pair.decode(embedding, prompt_sets(), all_outputs=True)
    plain = _enlarged(embedding.features[:, :1].numpy())
    scale = np.array([inside[1] / size[1], inside[0] / size[0]])
    for index, prompt in enumerate(prompt_sets()):
        points = (prompt.point_coords * scale).sum() + (
            0 if prompt.box is None else (prompt.box.reshape(2, 2) * scale).sum()
        )
        labels = prompt.point_labels.sum() + (-1 if prompt.box is None else 5)
        mask = 0 if prompt.mask_prompt is None else prompt.mask_prompt.sum() + 1
        np.testing.assert_allclose(
            made.low_res_logits[index, 2], plain * 3 + points + labels + mask + sum(size), rtol=1e-4, atol=0.2
        )
        np.testing.assert_allclose(made.iou_predictions[index], [0, 0.125, 0.25, 0.375])
    assert pair.decode(embedding, [POINT]).low_res_logits.shape == (1, 1, 256, 256)
    three = pair.decode(embedding, [POINT], multimask_output=True)
    np.testing.assert_array_equal(three.iou_predictions, [[0.125, 0.25, 0.375]])
    assert pair.model_id == "the-id"


@pytest.mark.parametrize(
    ("masks", "scores"), [(1, [0, 0, 0, 0]), (3, [0.25, 0, 0.125, 0.25]), (4, [0, 0.125, 0.25, 0.375])]
)
def test_fewer_masks(tmp_path: Path, masks: int, scores: list[float]) -> None:
    _encoder(tmp_path / "encoder.onnx")
    _official(tmp_path / "decoder.onnx", masks)
    pair = PromptableSegmenter(OnnxPair(tmp_path), "id")
    made = pair.decode(pair.encode(picture(SIZES[0])), [POINT], all_outputs=True)
    np.testing.assert_allclose(made.iou_predictions[0], scores)
    assert made.low_res_logits.shape == (1, 4, 256, 256)


def test_further_outputs_of_the_encoder_reach_the_decoder(tmp_path: Path) -> None:
    _encoder(tmp_path / "encoder.onnx", more=True)
    _official(tmp_path / "decoder.onnx", more=True)
    pair = PromptableSegmenter(OnnxPair(tmp_path), "id")
    embedding = pair.encode(picture(SIZES[0]))
    assert list(embedding.extras) == ["interm_embeddings"]
    with_extra = pair.decode(embedding, [POINT]).low_res_logits
    _official(tmp_path / "decoder.onnx")
    without = PromptableSegmenter(OnnxPair(tmp_path), "id").decode(embedding, [POINT]).low_res_logits
    np.testing.assert_allclose(with_extra - without, embedding.extras["interm_embeddings"].sum().item(), rtol=1e-2)


def test_edge_sam_face(tmp_path: Path) -> None:
    _encoder(tmp_path / "edge_sam_encoder.onnx", "image", "image_embeddings")
    _edge(tmp_path / "edge_sam_decoder.onnx")
    pair, size = PromptableSegmenter(OnnxPair(tmp_path), "id"), SIZES[0]
    embedding = pair.encode(picture(size))
    box = PointPrompts(POINT.point_coords, POINT.point_labels, box=np.array([12.0, 8.0, 60.0, 44.0], np.float32))
    made = pair.decode(embedding, [POINT, box], all_outputs=True)
    plain, scale = _enlarged(embedding.features[:, :1].numpy()), np.array([10.24, 614 / 60])
    for index, (xy, labels) in enumerate([([40, 30], 1), ([40 + 12 + 60, 30 + 8 + 44], 6)]):
        np.testing.assert_allclose(made.low_res_logits[index, 0], plain + (scale * xy).sum() + labels, rtol=1e-4)
    np.testing.assert_allclose(made.iou_predictions[0], [0, 0.125, 0.25, 0.375])


@pytest.mark.parametrize("size", SIZES)
def test_efficient_sam_face(tmp_path: Path, size: tuple[int, int]) -> None:
    """The picture in [0, 1] at its own size, points in its own pixels, masks of the stretched square."""
    _encoder(tmp_path / "es_encoder.onnx", "batched_images", "image_embeddings", ("h", "w"))
    _efficient(tmp_path / "es_decoder.onnx")
    pair, image = PromptableSegmenter(OnnxPair(tmp_path), "id"), picture(size)
    embedding = pair.encode(image)
    native = embedding.extras["native"]
    grey = torch.from_numpy(image.astype(np.float32) / 255).mean(-1)[None, None]
    cells = torch.nn.functional.interpolate(grey, (64, 64), mode="bilinear")
    np.testing.assert_allclose(native[:, :1].numpy(), cells.numpy(), atol=2e-3)
    assert torch.equal(embedding.features, stretched.features_to_padded(native, size).half().float())
    made = pair.decode(embedding, [POINT], all_outputs=True)
    plain = _enlarged(native[:, :1].numpy())
    offset = 40 + 30 + 1 + sum(size)
    want = stretched.masks_to_padded(np.stack([plain * factor + offset for factor in (3, 1, 2, 3)]), size)
    np.testing.assert_allclose(made.low_res_logits[0], want, rtol=1e-4)
    np.testing.assert_allclose(made.iou_predictions[0], [0.25, 0, 0.125, 0.25])


def test_export_of_a_random_sam(tmp_path: Path) -> None:
    """segment_anything's own export wrapper around the real decoder, against the same weights in torch."""
    from segment_anything.utils.onnx import SamOnnxModel

    from gpoa.segmenters.sam_decoder import SamDecoder
    from tests.segmenters.builders import embedding_of, random_sam, segmenter_of

    model = SamOnnxModel(random_sam(), return_single_mask=False)
    names = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"]
    dummies = (
        torch.randn(1, 256, 64, 64), torch.rand(1, 5, 2) * 1000, torch.randint(0, 4, (1, 5)).float(),
        torch.randn(1, 1, 256, 256), torch.ones(1), torch.tensor([60.0, 100.0]),
    )  # fmt: skip
    with torch.no_grad():
        torch.onnx.export(
            model, dummies, tmp_path / "decoder.onnx", input_names=names, dynamo=False, opset_version=17,
            output_names=["masks", "iou_predictions", "low_res_masks"],
            dynamic_axes={"point_coords": {1: "n"}, "point_labels": {1: "n"}},
        )  # fmt: skip
    _encoder(tmp_path / "encoder.onnx")
    embedding = embedding_of((60, 100), (614, 1024))
    sets = [prompt for prompt in prompt_sets() if prompt.box is not None or len(prompt.point_labels)]
    made = PromptableSegmenter(OnnxPair(tmp_path), "id").decode(embedding, sets, all_outputs=True)
    decoder = SamDecoder(random_sam().prompt_encoder, random_sam().mask_decoder)
    want = segmenter_of(decoder).decode(embedding, sets, all_outputs=True)
    np.testing.assert_allclose(made.low_res_logits, want.low_res_logits, atol=1e-3)
    np.testing.assert_allclose(made.iou_predictions, want.iou_predictions, atol=1e-3)


@pytest.mark.weights
@pytest.mark.parametrize("size", SIZES[:1])
def test_real_pair_equals_mobile_sam(weights_root: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    """The published decoder gives one mask: the single one from three tokens on, else the best of the other three."""
    for name in ("encoder.onnx", "decoder.onnx"):
        shutil.copy(weights_root / "mobile_sam" / name, tmp_path / name)
    pair, image = PromptableSegmenter(OnnxPair(tmp_path), "id"), picture(size)
    torch_sam = PromptableSegmenter(MobileSam(weights_root / "mobile_sam"), "id")
    embedding = pair.encode(image)
    assert torch.equal(embedding.features, torch_sam.encode(image).features)
    sets = [prompt for prompt in prompt_sets() if prompt.box is not None or len(prompt.point_labels)]
    made = pair.decode(embedding, sets)
    want = torch_sam.decode(embedding, sets, all_outputs=True)
    for index, prompt in enumerate(sets):
        tokens = len(prompt.point_labels) + (1 if prompt.box is None else 2)
        which = 0 if tokens >= 3 else 1 + int(want.iou_predictions[index, 1:].argmax())
        np.testing.assert_allclose(made.low_res_logits[index, 0], want.low_res_logits[index, which], atol=1e-3)
        np.testing.assert_allclose(made.iou_predictions[index, 0], want.iou_predictions[index, which], atol=1e-3)


def _no_encoder(folder: Path) -> None:
    _official(folder / "decoder.onnx")


def _wrong_channels(folder: Path) -> None:
    _encoder(folder / "encoder.onnx", channels=128)
    _official(folder / "decoder.onnx")


def _wanting_more(folder: Path) -> None:
    _encoder(folder / "encoder.onnx")
    _official(folder / "decoder.onnx", more=True)


def _two_encoders(folder: Path) -> None:
    _encoder(folder / "a_encoder.onnx")
    _encoder(folder / "b_encoder.onnx")
    _official(folder / "decoder.onnx")


def _unknown_decoder(folder: Path) -> None:
    _encoder(folder / "encoder.onnx")
    _encoder(folder / "decoder.onnx")


def _swapped(folder: Path) -> None:
    _encoder(folder / "decoder.onnx")
    _official(folder / "encoder.onnx")


def _damaged(folder: Path) -> None:
    _encoder(folder / "encoder.onnx")
    (folder / "decoder.onnx").write_bytes((folder / "encoder.onnx").read_bytes()[:100])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "needs two .onnx files"),
        (_no_encoder, "needs two .onnx files"),
        (_two_encoders, "needs two .onnx files"),
        (
            _wrong_channels,
            r"takes image_embeddings \[1, 256, 64, 64\], but encoder.onnx gives \[1, 128, 64, 64\]; they are not",
        ),
        (_wanting_more, "takes interm_embeddings, which encoder.onnx does not give"),
        (_unknown_decoder, "takes x; none of the SAM exports"),
        (_swapped, "expected one input"),
        (_damaged, "decoder.onnx: cannot be loaded"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, make, message: str) -> None:
    make(tmp_path)
    with pytest.raises(ModelError, match=message) as raised:
        PromptableSegmenter(OnnxPair(tmp_path), "id").encode(picture(SIZES[0]))
    assert_one_line(raised)
    assert str(tmp_path) in str(raised.value)


def test_a_run_that_fails_names_the_half(tmp_path: Path) -> None:
    _encoder(tmp_path / "encoder.onnx", sides=(512, 512))
    _official(tmp_path / "decoder.onnx")
    with pytest.raises(ModelError, match=r"the encoder cannot be run on x \[1, 3, 1024, 1024\]") as raised:
        PromptableSegmenter(OnnxPair(tmp_path), "id").encode(picture(SIZES[0]))
    assert_one_line(raised)


def test_pair_of(tmp_path: Path) -> None:
    assert pair_of(tmp_path) is None
    _encoder(tmp_path / "My_Encoder.onnx")
    (tmp_path / "decoder_v2.onnx").write_bytes(b"")
    assert pair_of(tmp_path) == (tmp_path / "My_Encoder.onnx", tmp_path / "decoder_v2.onnx")


def test_code_in_a_graph_file_is_not_run(tmp_path: Path) -> None:
    import os
    import pickle

    class Hostile:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "made"),)

    (tmp_path / "encoder.onnx").write_bytes(pickle.dumps(Hostile()))
    _official(tmp_path / "decoder.onnx")
    with pytest.raises(ModelError, match="encoder.onnx: cannot be loaded"):
        PromptableSegmenter(OnnxPair(tmp_path), "id").encode(picture(SIZES[0]))
    assert not (tmp_path / "made").exists()
