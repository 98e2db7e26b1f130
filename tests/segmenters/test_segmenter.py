"""The one way to embed and to decode, around a backend whose answers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from gpoa.errors import ModelError
from gpoa.segmenters.hf_sam import HfSam, group_of
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.segmenters.onnx_pair import OnnxPair
from gpoa.segmenters.sam import Sam
from gpoa.segmenters.sam2 import Sam2
from gpoa.segmenters.sam_hq import SamHq
from gpoa.segmenters.segmenter import Encoder, Job, PromptableSegmenter
from gpoa.types import ImageEmbedding, PointPrompts

IMAGES = [np.full((2, 4, 3), value, np.uint8) for value in (10, 20, 30)]


class _Decoder:
    """Mask m of a set is m + its first column, in all pixels; has memory for a few sets only."""

    def __init__(self, batch_size: int, limit: int) -> None:
        self.batch_size, self.limit, self.calls, self.group = batch_size, limit, [], group_of

    def call(self, batch: Sequence[Job], wanted: slice) -> tuple[np.ndarray, np.ndarray]:
        if len(batch) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.calls.append(len(batch))
        first = np.array([job.prompts.point_coords[0, 0] for job in batch])
        iou = (first[:, None] + np.arange(4))[:, wanted].astype(np.float32)
        return np.broadcast_to(iou[..., None, None], (*iou.shape, 256, 256)), iou


class _Backend:
    """An encoder that gives an image's mean in every cell."""

    reduces_decoder = False

    def __init__(self, encoder_bytes: int | None = None, batch_size: int = 64, limit: int = 64) -> None:
        self.encoder_bytes, self.made, self.loaded = encoder_bytes, _Decoder(batch_size, limit), []

    def load(self, device: str, encoder_dtype: str) -> str:
        self.loaded.append(f"weights {device} {encoder_dtype}")
        return "weights"

    def encoder(self, model: str, device: str, dtype: str) -> Encoder:
        self.loaded.append(f"encoder of {model}")
        return Encoder(self._forward, device, frame=lambda image: image.transpose(2, 0, 1)[None].astype(np.float32))

    def decoder(self, model: str, device: str, dtype: str) -> _Decoder:
        self.loaded.append(f"decoder of {model}")
        return self.made

    def _forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        return {"features": mean.expand(-1, 256, 64, 64), "images of the call": torch.full_like(mean, len(pixels))}


def _sets(*columns: float) -> list[PointPrompts]:
    return [PointPrompts(np.array([[column, 1.0]], np.float32), np.array([1])) for column in columns]


def _embedding() -> ImageEmbedding:
    return ImageEmbedding(torch.zeros(1, 256, 64, 64), (512, 1024), (2, 4))


def test_each_half_is_loaded_when_it_is_needed_and_once() -> None:
    backend = _Backend()
    segmenter = PromptableSegmenter(backend, "id")
    assert backend.loaded == []
    for _ in range(2):
        segmenter.decode(_embedding(), _sets(1))
    assert backend.loaded == ["weights cpu float32", "decoder of weights"]
    for _ in range(2):
        segmenter.encode(IMAGES[0])
    assert backend.loaded[2:] == ["encoder of weights"]


@pytest.mark.parametrize(("encoder_bytes", "calls"), [(None, [1, 1, 1]), (1, [2, 2, 1])])
def test_images_share_a_call_where_the_encoder_takes_several(encoder_bytes: int | None, calls: list[int]) -> None:
    segmenter = PromptableSegmenter(_Backend(encoder_bytes), "id")
    assert (segmenter.batches is None) == (segmenter.encoder_dtype is None) == (encoder_bytes is None)
    if segmenter.batches is not None:
        segmenter.batches.on_cpu = 2
    made = segmenter.encode_many(IMAGES)
    assert [float(one.extras["images of the call"]) for one in made] == calls
    assert [float(one.features.mean()) for one in made] == [10, 20, 30]
    assert {(one.input_size, one.original_size) for one in made} == {((512, 1024), (2, 4))}


@pytest.mark.parametrize(
    ("flags", "scores"),
    [({}, [5]), ({"multimask_output": True}, [6, 7, 8]), ({"all_outputs": True}, [5, 6, 7, 8])],
)
def test_which_of_the_four_masks(flags: dict[str, bool], scores: list[float]) -> None:
    made = PromptableSegmenter(_Backend(), "id").decode(_embedding(), _sets(5), **flags)
    assert made.iou_predictions.tolist() == [scores]
    assert made.low_res_logits[0, :, 7, 9].tolist() == scores


def test_every_decoder_goes_on_with_fewer_sets(caplog: pytest.LogCaptureFixture) -> None:
    """Also one that knows nothing of memory, as those of SAM 2 and SAM-HQ."""
    backend = _Backend(limit=3)
    segmenter = PromptableSegmenter(backend, "id")
    made = segmenter.decode_many([_embedding(), _embedding()], [_sets(*range(9)), _sets(40)])
    assert [one.iou_predictions[:, 0].tolist() for one in made] == [list(range(9)), [40]]
    assert backend.made.calls == [2, 2, 2, 2, 1, 1]  # 9 do not fit, nor do 4
    said = [record.getMessage() for record in caplog.records]
    assert said == ["cpu: out of memory with 9 prompt sets a call; going on with fewer"]
    backend.made.limit = 0
    with pytest.raises(ModelError, match="one prompt set; free the device or take --models.device cpu"):
        segmenter.decode(_embedding(), _sets(1))


@pytest.mark.parametrize("backend", [HfSam, MobileSam, OnnxPair, Sam, Sam2, SamHq])
def test_no_backend_embeds_or_decodes_by_itself(backend: type) -> None:
    assert not {"encode", "encode_many", "decode", "decode_many"} & set(dir(backend))
