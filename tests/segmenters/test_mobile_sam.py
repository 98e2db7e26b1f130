"""MobileSAM: files that cannot be used, and the real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from gpoa.errors import ModelError
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.types import PointPrompts
from tests.segmenters.builders import embedding_of

POINT = PointPrompts(np.array([[50, 30]], np.float32), np.array([1]))


@pytest.mark.parametrize("content", [None, b"", b"not found"])  # missing, empty, text
def test_unusable_encoder(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "encoder.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="encoder.onnx: cannot be loaded") as raised:
        MobileSam(tmp_path, "id").encode(np.zeros((3, 5, 3), np.uint8))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        None,  # missing
        b"",
        b"\xff" * 64,  # another format
        save({"a": torch.zeros(1)}),  # another model
    ],
    ids=["missing", "empty", "format", "foreign"],
)
def test_unusable_decoder(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "decoder.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="decoder.safetensors: cannot be loaded .*gpoa models fetch") as raised:
        MobileSam(tmp_path, "id").decode(embedding_of((60, 100), (614, 1024)), [POINT])
    assert "\n" not in str(raised.value)


@pytest.mark.weights
def test_segments_a_disc(weights_root: Path) -> None:
    """A bright disc on a dark, non-square ground, asked for by one point."""
    rows, columns = np.mgrid[0:60, 0:100]
    disc = (rows - 30) ** 2 + (columns - 50) ** 2 < 15**2
    image = np.where(disc[..., None], (230, 200, 60), (20, 40, 60)).astype(np.uint8)
    segmenter = MobileSam(weights_root / "mobile_sam", "mobile_sam")
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
