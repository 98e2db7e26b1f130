"""Our decoder beside `SamPredictor.predict` with the same random modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from gpoa.errors import ModelError
from gpoa.runtime import machine
from gpoa.segmenters import sam_decoder
from gpoa.segmenters.base import decode_many
from gpoa.segmenters.fast_decoder import PromptTokens
from gpoa.segmenters.sam_decoder import SamDecoder, build_sam_decoder
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import MaskPrediction, PointPrompts
from tests.segmenters.builders import embedding_of, random_sam, segmenter_of

SIZE, INSIDE = (60, 100), (614, 1024)


def _prompts(
    points: list | None = None, labels: list | None = None, box: list | None = None, mask: bool = False
) -> PointPrompts:
    return PointPrompts(
        point_coords=np.array(points or [], np.float32).reshape(-1, 2),
        point_labels=np.array(labels or [], np.int64),
        box=None if box is None else np.array(box, np.float32),
        mask_prompt=_mask() if mask else None,
    )


def _mask() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 8, (256, 256)).astype(np.float32)


CASES = {
    "one point": _prompts([[10, 20]], [1]),
    "other point": _prompts([[70, 40]], [1]),
    "three points": _prompts([[10, 20.5], [99, 59], [0, 0]], [1, 0, 1]),
    "box": _prompts(box=[5, 6, 70.5, 50]),
    "points and box": _prompts([[10, 20], [50, 30]], [1, 0], [5, 6, 70, 50]),
    "mask": _prompts(mask=True),
    "everything": _prompts([[10, 20], [50, 30]], [1, 0], [5, 6, 70, 50], mask=True),
}


@pytest.fixture(scope="module")
def predictor() -> SamPredictor:
    predictor = SamPredictor(random_sam())
    predictor.set_image(np.zeros((*SIZE, 3), np.uint8))
    assert predictor.input_size == INSIDE
    return predictor


@pytest.fixture(scope="module")
def decoder() -> PromptableSegmenter:
    return segmenter_of(SamDecoder(random_sam().prompt_encoder, random_sam().mask_decoder))


@pytest.fixture(scope="module")
def answers(decoder: PromptableSegmenter) -> dict[str, MaskPrediction]:
    """What the decoder makes of each case alone, one mask a set."""
    return {name: decoder.decode(embedding_of(SIZE, INSIDE), [prompts]) for name, prompts in CASES.items()}


def _assert_predictors(predictor: SamPredictor, prompts: PointPrompts, made: MaskPrediction, multimask: bool) -> None:
    has_points = len(prompts.point_labels) > 0
    _, iou, low_res = predictor.predict(
        point_coords=prompts.point_coords if has_points else None,
        point_labels=prompts.point_labels if has_points else None,
        box=prompts.box,
        mask_input=None if prompts.mask_prompt is None else prompts.mask_prompt[None],
        multimask_output=multimask,
    )
    assert made.low_res_logits.shape == (1, 3 if multimask else 1, 256, 256)
    assert made.low_res_logits.dtype == made.iou_predictions.dtype == np.float32
    np.testing.assert_allclose(made.low_res_logits[0], low_res, atol=1e-4)
    np.testing.assert_allclose(made.iou_predictions[0], iou, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_masks_are_the_predictors(predictor: SamPredictor, answers: dict[str, MaskPrediction], name: str) -> None:
    _assert_predictors(predictor, CASES[name], answers[name], multimask=False)


@pytest.mark.parametrize("name", ["three points", "everything"])
def test_three_masks_are_the_predictors(predictor: SamPredictor, decoder: PromptableSegmenter, name: str) -> None:
    made = decoder.decode(embedding_of(SIZE, INSIDE), [CASES[name]], multimask_output=True)
    _assert_predictors(predictor, CASES[name], made, multimask=True)


def test_all_outputs_are_the_single_one_and_the_three(decoder: PromptableSegmenter) -> None:
    inputs = embedding_of(SIZE, INSIDE), [CASES["three points"]]
    every, single, three = (
        decoder.decode(*inputs, **flags) for flags in ({"all_outputs": True}, {}, {"multimask_output": True})
    )
    np.testing.assert_array_equal(every.low_res_logits[:, :1], single.low_res_logits)
    np.testing.assert_array_equal(every.low_res_logits[:, 1:], three.low_res_logits)
    np.testing.assert_array_equal(every.iou_predictions[:, 1:], three.iou_predictions)


def test_cases_differ(answers: dict[str, MaskPrediction]) -> None:
    """The comparisons here could not fail if these random weights ignored their prompts."""
    masks = [answer.low_res_logits for answer in answers.values()]
    for index in range(1, len(masks)):
        assert np.abs(masks[index] - masks[index - 1]).max() > 1e-3


MIXED = ["one point", "box", "other point", "mask", "one point", "three points", "everything"]


def _decoder_of(batch_size: int = 64, pad: bool = True, **choices: str) -> PromptableSegmenter:
    """On the CPU, with the batches of a GPU."""
    made = SamDecoder(random_sam().prompt_encoder, random_sam().mask_decoder, pad=pad, **choices)
    made.batch_size = batch_size
    return segmenter_of(made)


@pytest.mark.parametrize(("batch_size", "pad"), [(1, False), (64, False), (64, True)])  # a CPU, a GPU without and with
def test_mixed_sets_keep_their_order(answers: dict[str, MaskPrediction], batch_size: int, pad: bool) -> None:
    """Padding and neighbours change a mask by less than 1e-4."""
    decoder = _decoder_of(batch_size, pad)
    together = decoder.decode(embedding_of(SIZE, INSIDE), [CASES[name] for name in MIXED])
    assert together.low_res_logits.shape == (7, 1, 256, 256)
    for index, name in enumerate(MIXED):
        np.testing.assert_allclose(together.low_res_logits[index], answers[name].low_res_logits[0], atol=1e-4)
        np.testing.assert_allclose(together.iou_predictions[index], answers[name].iou_predictions[0], atol=1e-4)


@pytest.mark.parametrize(
    ("batch_size", "pad", "calls"),
    [
        (1, False, [1, 1, 1, 1, 1, 1, 1]),
        (64, False, [4, 1, 1, 1]),  # two tokens (a box has two corners), none, four, five with a mask prompt
        (64, True, [5, 1, 1]),  # without a mask prompt, with one and no token, with one and tokens
        (2, True, [2, 2, 1, 1, 1]),
    ],
)
def test_sets_share_calls(batch_size: int, pad: bool, calls: list[int]) -> None:
    decoder = _decoder_of(batch_size, pad)
    decoder.decoder.core = fake = _FakeCore(limit=64)
    decoder.decode(embedding_of(SIZE, INSIDE), [CASES[name] for name in MIXED])
    assert fake.calls == calls


@pytest.mark.parametrize("batch_size", [1, 64])
def test_many_images_are_as_each_alone(batch_size: int) -> None:
    other = replace(embedding_of((100, 60), (1024, 614)), features=torch.randn(1, 256, 64, 64))
    inputs = [embedding_of(SIZE, INSIDE), other, other], [[CASES["box"], CASES["mask"]], [], [CASES["one point"]]]
    decoder = _decoder_of(batch_size)
    together = decode_many(decoder, *inputs, multimask_output=True)
    for made, embedding, sets in zip(together, *inputs, strict=True):
        alone = decoder.decode(embedding, sets, multimask_output=True)
        np.testing.assert_allclose(made.low_res_logits, alone.low_res_logits, atol=1e-4)
        np.testing.assert_allclose(made.iou_predictions, alone.iou_predictions, atol=1e-4)
    with pytest.raises(ValueError, match="shorter"):
        decoder.decode_many(inputs[0], inputs[1][:2])


def test_many_images_without_a_common_call() -> None:
    """A segmenter that knows only `decode`."""

    class Other:
        def decode(self, embedding: str, sets: list[str], multimask_output: bool, all_outputs: bool) -> tuple:
            return embedding, sets, multimask_output, all_outputs

    assert decode_many(Other(), ["a", "b"], [["x"], []], all_outputs=True) == [
        ("a", ["x"], False, True),
        ("b", [], False, True),
    ]


def test_another_image_gets_its_own_masks(decoder: PromptableSegmenter) -> None:
    """What is kept of an image is not taken for another's, nor for the same tensor's after a change."""
    features = torch.randn(1, 256, 64, 64)
    embedding = replace(embedding_of(SIZE, INSIDE), features=features)
    first = decoder.decode(embedding, [CASES["box"]]).low_res_logits
    features.neg_()
    second = decoder.decode(embedding, [CASES["box"]]).low_res_logits
    fresh = decoder.decode(replace(embedding, features=features.clone()), [CASES["box"]]).low_res_logits
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(second, fresh)


def test_few_images_are_kept() -> None:
    decoder = _decoder_of(1)
    decoder.decoder.core = fake = _FakeCore(limit=64)
    images = [replace(embedding_of(SIZE, INSIDE), features=torch.zeros(1, 256, 64, 64)) for _ in range(5)]
    for number in [0, 0, 1, 2, 3, 0, 4, 1, 0]:  # the fifth pushes out 1, the one used least recently
        decoder.decode(images[number], [CASES["box"]])
    assert fake.images == 6


class _FakeCore:
    """Has memory for a few sets only."""

    def __init__(self, limit: int) -> None:
        self.limit, self.calls, self.images = limit, [], 0

    def image_side(self, features: torch.Tensor) -> None:
        self.images += 1

    def predict(self, side: None, prompts: PromptTokens, owner: list[int] | None) -> tuple[torch.Tensor, torch.Tensor]:
        if len(prompts.labels) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.calls.append(len(prompts.labels))
        first = torch.from_numpy(prompts.coords[:, 0, 0]).view(-1, 1) if prompts.coords.size else torch.zeros(1, 1)
        return first[..., None, None].expand(-1, 4, 256, 256), first.expand(-1, 4)


def test_out_of_memory_halves_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    decoder = _decoder_of(64)
    decoder.decoder.core = fake = _FakeCore(limit=3)
    sets = [_prompts([[column, 0]], [1]) for column in range(9)]
    for _ in range(2):
        made = decoder.decode(embedding_of(SIZE, INSIDE), sets)
        np.testing.assert_allclose(made.iou_predictions[:, 0], np.arange(9) * 10.24, rtol=1e-6)
    assert fake.calls == [2, 2, 2, 2, 1] * 2  # 9 do not fit, nor do 4
    assert [record.getMessage() for record in caplog.records] == [
        "cpu: out of memory with 9 prompt sets a call; going on with fewer"
    ]


def test_out_of_memory_with_one_set_says_what_to_do() -> None:
    decoder = _decoder_of(64)
    decoder.decoder.core = _FakeCore(limit=0)
    with pytest.raises(ModelError, match="one prompt set; free the device or take --models.device cpu"):
        decoder.decode(embedding_of(SIZE, INSIDE), [CASES["box"]])


@pytest.mark.parametrize("bfloat16", [True, False])
def test_auto_measures_where_the_processor_has_bfloat16(monkeypatch: pytest.MonkeyPatch, bfloat16: bool) -> None:
    asked = []

    def answer(question: str, ways: Callable[[], dict[str, Callable]]) -> str:
        asked.append(question)
        made = ways()
        assert list(made) == ["float32", "bfloat16"]
        for call in made.values():
            call()
        return "bfloat16"

    monkeypatch.setattr(machine, "has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(machine, "fastest_way", answer)
    assert _decoder_of(dtype="auto").decoder.dtype == ("bfloat16" if bfloat16 else "float32")
    assert len(asked) == bfloat16
    assert sam_decoder.type_for(None, None, "cuda:1") == "float16"


def test_no_sets_give_no_masks(decoder: PromptableSegmenter) -> None:
    made = decoder.decode(embedding_of(SIZE, INSIDE), [], multimask_output=True)
    assert (made.low_res_logits.shape, made.iou_predictions.shape) == ((0, 3, 256, 256), (0, 3))


def _state() -> dict[str, torch.Tensor]:
    return {k: v for k, v in random_sam().state_dict().items() if not k.startswith("image_encoder.")}


def test_built_from_weights(answers: dict[str, MaskPrediction]) -> None:
    built = segmenter_of(build_sam_decoder(_state())).decode(embedding_of(SIZE, INSIDE), [CASES["three points"]])
    np.testing.assert_allclose(built.low_res_logits, answers["three points"].low_res_logits, atol=1e-5)


@pytest.mark.parametrize("room", ["prompt_encoder.", "mask_decoder."])
def test_every_weight_must_be_there(room: str) -> None:
    state = _state()
    del state[next(name for name in state if name.startswith(room))]
    with pytest.raises(RuntimeError, match="Missing key"):
        build_sam_decoder(state)


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Unexpected key"):
        build_sam_decoder(_state() | {"mask_decoder.extra": torch.zeros(1)})
