"""Our decoder beside `SamPredictor.predict` with the same random modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from gpoa.segmenters.sam_decoder import SamDecoder, build_sam_decoder
from gpoa.types import MaskPrediction, PointPrompts
from tests.segmenters.builders import embedding_of, random_sam

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
def decoder() -> SamDecoder:
    return SamDecoder(random_sam().prompt_encoder, random_sam().mask_decoder)


@pytest.fixture(scope="module")
def answers(decoder: SamDecoder) -> dict[str, MaskPrediction]:
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
def test_three_masks_are_the_predictors(predictor: SamPredictor, decoder: SamDecoder, name: str) -> None:
    made = decoder.decode(embedding_of(SIZE, INSIDE), [CASES[name]], multimask_output=True)
    _assert_predictors(predictor, CASES[name], made, multimask=True)


def test_all_outputs_are_the_single_one_and_the_three(decoder: SamDecoder) -> None:
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


@pytest.mark.parametrize("batch_size", [1, 64])  # a CPU's, a GPU's
def test_mixed_sets_keep_their_order(answers: dict[str, MaskPrediction], batch_size: int) -> None:
    decoder = SamDecoder(random_sam().prompt_encoder, random_sam().mask_decoder)
    decoder.batch_size = batch_size
    names = ["one point", "box", "other point", "mask", "one point"]  # the first, third and last share a call
    together = decoder.decode(embedding_of(SIZE, INSIDE), [CASES[name] for name in names])
    assert together.low_res_logits.shape == (5, 1, 256, 256)
    for index, name in enumerate(names):
        np.testing.assert_allclose(together.low_res_logits[index], answers[name].low_res_logits[0], atol=1e-4)
        np.testing.assert_allclose(together.iou_predictions[index], answers[name].iou_predictions[0], atol=1e-4)


def test_no_sets_give_no_masks(decoder: SamDecoder) -> None:
    made = decoder.decode(embedding_of(SIZE, INSIDE), [], multimask_output=True)
    assert (made.low_res_logits.shape, made.iou_predictions.shape) == ((0, 3, 256, 256), (0, 3))


def _state() -> dict[str, torch.Tensor]:
    return {k: v for k, v in random_sam().state_dict().items() if not k.startswith("image_encoder.")}


def test_built_from_weights(answers: dict[str, MaskPrediction]) -> None:
    built = build_sam_decoder(_state()).decode(embedding_of(SIZE, INSIDE), [CASES["three points"]])
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
