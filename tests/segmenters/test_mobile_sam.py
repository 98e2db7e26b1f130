"""MobileSAM: files that cannot be used, and the real weights."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from gpoa.errors import ModelError
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import PointPrompts
from tests.segmenters.builders import embedding_of

POINT = PointPrompts(np.array([[50, 30]], np.float32), np.array([1]))


@pytest.mark.parametrize("content", [None, b"", b"not found"])  # missing, empty, text
def test_unusable_encoder(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "encoder.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="encoder.onnx: cannot be loaded") as raised:
        PromptableSegmenter(MobileSam(tmp_path), "id").encode(np.zeros((3, 5, 3), np.uint8))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        None,  # missing
        b"",
        b"\xff" * 64,  # another format
        save({"a": torch.zeros(1)}),  # another model
        save({"prompt_encoder.no_mask_embed.weight": torch.zeros(1, 128)}),  # of another size
        save({"a": torch.zeros(100)})[:-20],  # cut off
    ],
    ids=["missing", "empty", "format", "foreign", "size", "half"],
)
def test_unusable_decoder(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "decoder.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="decoder.safetensors: cannot be loaded .*gpoa models fetch") as raised:
        PromptableSegmenter(MobileSam(tmp_path), "id").decode(embedding_of((60, 100), (614, 1024)), [POINT])
    assert "\n" not in str(raised.value)


class _Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("by_torch", [True, False])
def test_code_in_a_file_is_never_run(tmp_path: Path, by_torch: bool) -> None:
    """A pickle under the decoder's name."""
    path, made = tmp_path / "decoder.safetensors", tmp_path / "made"
    if by_torch:
        torch.save({"weight": _Hostile(made)}, path)
    else:
        path.write_bytes(pickle.dumps(_Hostile(made)))
    with pytest.raises(ModelError, match="cannot be loaded"):
        PromptableSegmenter(MobileSam(tmp_path), "id").decode(embedding_of((60, 100), (614, 1024)), [POINT])
    assert not made.exists()


@pytest.mark.parametrize(
    ("name", "shape", "out"),
    [
        ("image", [1, 3, 1024, 1024], [1, 256, 64, 64]),
        ("input", [1, 3, 8, 8], [1, 256, 64, 64]),
        ("input", [1, 3, 1024, 1024], [1, 3]),
    ],
    ids=["name", "size", "output"],
)
def test_encoder_of_another_model(tmp_path: Path, name: str, shape: list[int], out: list[int]) -> None:
    from onnx import TensorProto, helper, save_model

    ends = [helper.make_tensor_value_info(*end) for end in ((name, 1, shape), ("y", 1, out))]
    constant = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    size = helper.make_node("Constant", [], ["s"], value=helper.make_tensor("s", TensorProto.INT64, [len(out)], out))
    fill = helper.make_node("ConstantOfShape", ["s"], ["y"], value=constant)
    graph = helper.make_graph([size, fill], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, tmp_path / "encoder.onnx")
    with pytest.raises(ModelError, match="encoder.onnx: not MobileSAM's encoder .*gpoa models fetch"):
        PromptableSegmenter(MobileSam(tmp_path), "id").encode(np.zeros((3, 5, 3), np.uint8))


@pytest.mark.weights
def test_many_images_are_as_each_alone(weights_root: Path) -> None:
    segmenter = PromptableSegmenter(MobileSam(weights_root / "mobile_sam"), "mobile_sam")
    embeddings = [embedding_of((60, 100), (614, 1024)), embedding_of((100, 60), (1024, 614))]
    together = segmenter.decode_many(embeddings, [[POINT], [POINT, POINT]], all_outputs=True)
    for made, embedding in zip(together, embeddings, strict=True):
        alone = segmenter.decode(embedding, [POINT], all_outputs=True)
        np.testing.assert_array_equal(made.low_res_logits[-1], alone.low_res_logits[0])


@pytest.mark.weights
def test_segments_a_disc(weights_root: Path) -> None:
    """A bright disc on a dark, non-square ground, asked for by one point."""
    rows, columns = np.mgrid[0:60, 0:100]
    disc = (rows - 30) ** 2 + (columns - 50) ** 2 < 15**2
    image = np.where(disc[..., None], (230, 200, 60), (20, 40, 60)).astype(np.uint8)
    segmenter = PromptableSegmenter(MobileSam(weights_root / "mobile_sam"), "mobile_sam")
    embedding = segmenter.encode(image)
    assert (embedding.original_size, embedding.input_size) == ((60, 100), (614, 1024))
    assert embedding.features.shape == (1, 256, 64, 64)
    assert torch.equal(embedding.features, embedding.features.half().float())
    made = segmenter.decode(embedding, [POINT], multimask_output=True)
    best = made.low_res_logits[0, made.iou_predictions[0].argmax()]
    from gpoa.segmenters.base import upscale_logits

    mask = upscale_logits(best, embedding.input_size, embedding.original_size) > 0
    assert (mask & disc).sum() / (mask | disc).sum() > 0.9
    again = segmenter.decode(embedding, [POINT], multimask_output=True)
    np.testing.assert_array_equal(again.low_res_logits, made.low_res_logits)
