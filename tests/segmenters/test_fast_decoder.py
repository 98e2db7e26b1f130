"""The rearranged decoder beside the library's modules, every weight and bias of which is random."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch

from gpoa.segmenters.fast_decoder import CORNER, FILLER, NOT_A_POINT, FastDecoder, ImageSide, stack_tokens, tokens_of
from gpoa.types import PointPrompts
from tests.segmenters.builders import random_sam

SIZE = (60, 100)
MASK = np.random.default_rng(1).normal(0, 8, (256, 256)).astype(np.float32)
POINTS = PointPrompts(np.array([[10, 20.5], [99, 59], [0, 0]], np.float32), np.array([1, 0, 1]))
BOX = np.array([5, 6, 70.5, 50], np.float32)
CASES = {
    "points": POINTS,
    "points and mask": PointPrompts(POINTS.point_coords, POINTS.point_labels, None, MASK),
    "everything": PointPrompts(POINTS.point_coords, POINTS.point_labels, BOX, MASK),
    "mask": PointPrompts(POINTS.point_coords[:0], POINTS.point_labels[:0], None, MASK),
    "box": PointPrompts(POINTS.point_coords[:0], POINTS.point_labels[:0], BOX),
}


@functools.cache
def _modules() -> tuple[torch.nn.Module, torch.nn.Module]:
    """Fresh layer norms have no bias, and a fold that forgot one would not be seen."""
    made = copy.deepcopy(random_sam())
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    return made.prompt_encoder, made.mask_decoder


@functools.cache
def _decoder(dtype: str = "float32") -> FastDecoder:
    return FastDecoder(*_modules(), dtype=dtype)


@functools.cache
def _features(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(seed))


@functools.cache
def _side(seed: int = 0) -> ImageSide:
    return _decoder().image_side(_features(seed))


def _plain(name: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The library's own modules."""
    case, (prompt_encoder, mask_decoder) = CASES[name], _modules()
    coords, labels = (torch.from_numpy(part)[None] for part in tokens_of(case, SIZE))
    many = len(case.point_labels)
    points = (coords[:, :many], labels[:, :many]) if many else None
    boxes = None if case.box is None else coords[:, many:].reshape(1, 4)
    masks = None if case.mask_prompt is None else torch.from_numpy(case.mask_prompt)[None, None]
    with torch.inference_mode():
        sparse, dense = prompt_encoder(points, boxes, masks)
        return mask_decoder.predict_masks(_features(seed), prompt_encoder.get_dense_pe(), sparse, dense)


def _assert_close(made: tuple[torch.Tensor, torch.Tensor], want: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert made[0].shape == want[0].shape
    scale = float(want[0].abs().max())
    torch.testing.assert_close(made[0], want[0], atol=2e-5 * max(1.0, scale), rtol=0)
    torch.testing.assert_close(made[1], want[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_librarys_masks(name: str) -> None:
    prompts = stack_tokens([tokens_of(CASES[name], SIZE)], [CASES[name].mask_prompt])
    _assert_close(_decoder().predict(_side(), prompts), _plain(name))


@pytest.mark.parametrize("name", ["points", "everything"])
def test_filling_up_changes_nothing(name: str) -> None:
    """Five tokens more, which nothing attends to, unlike SAM's label -1: at most 1e-5 of the logits' range."""
    coords, labels = tokens_of(CASES[name], SIZE)
    longer = np.concatenate([coords, np.full((5, 2), 300, np.float32)]), np.append(labels, [FILLER] * 5)
    mask = [CASES[name].mask_prompt]
    alone, filled = (_decoder().predict(_side(), stack_tokens([one], mask)) for one in ((coords, labels), longer))
    scale = float(alone[0].abs().max())
    torch.testing.assert_close(filled[0], alone[0], atol=1e-5 * max(1.0, scale), rtol=0)
    extra = coords, np.where(labels == 0, NOT_A_POINT, labels)
    other = _decoder().predict(_side(), stack_tokens([extra], mask))
    assert float((other[0] - alone[0]).abs().max()) > 1e-3 * scale  # tokens do matter


@pytest.mark.parametrize("names", [("points", "box"), ("points and mask", "everything", "mask")])
def test_sets_of_one_image_in_one_call(names: tuple[str, ...]) -> None:
    """Of different lengths, without and with mask prompts."""
    cases = [CASES[name] for name in names]
    prompts = stack_tokens([tokens_of(case, SIZE) for case in cases], [case.mask_prompt for case in cases])
    masks, iou = _decoder().predict(_side(), prompts)
    for row, name in enumerate(names):
        _assert_close((masks[row : row + 1], iou[row : row + 1]), _plain(name))


@pytest.mark.parametrize("name", ["points", "everything"])
def test_sets_of_two_images_in_one_call(name: str) -> None:
    side = _decoder().image_side(torch.cat([_features(0), _features(1)]))
    prompts = stack_tokens([tokens_of(CASES[name], SIZE)] * 3, [CASES[name].mask_prompt] * 3)
    masks, iou = _decoder().predict(side, prompts, owner=[1, 0, 1])
    for row, seed in enumerate([1, 0, 1]):
        _assert_close((masks[row : row + 1], iou[row : row + 1]), _plain(name, seed))


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_reduced_types_are_near(dtype: str, tolerance: float) -> None:
    """As a share of the logits' range; and not equal, or the type would not be in use."""
    prompts = stack_tokens([tokens_of(CASES["everything"], SIZE)], [MASK])
    decoder = _decoder(dtype)
    masks, iou = decoder.predict(decoder.image_side(_features()), prompts)
    want = _plain("everything")[0]
    off = float((masks - want).abs().max() / want.abs().max())
    assert 1e-5 < off < tolerance
    assert masks.dtype == iou.dtype == torch.float32


def test_tokens_are_sams() -> None:
    """100 columns become 1024, 60 rows 614 (614.4 rounded), as `ResizeLongestSide` has it."""
    coords, labels = tokens_of(CASES["points"], SIZE)
    np.testing.assert_allclose(coords[0], [102.4, 20.5 * 614 / 60], rtol=1e-6)
    np.testing.assert_array_equal(labels, [1, 0, 1, NOT_A_POINT])
    np.testing.assert_array_equal(coords[-1], [0, 0])
    coords, labels = tokens_of(CASES["everything"], SIZE)
    np.testing.assert_array_equal(labels, [1, 0, 1, CORNER, CORNER + 1])
    np.testing.assert_allclose(coords[-1], [721.92, 50 * 614 / 60], rtol=1e-6)
    assert tokens_of(CASES["mask"], SIZE)[0].shape == (0, 2)


def test_stacked_sets_are_filled_up() -> None:
    sets = [(np.ones((1, 2), np.float32), np.array([1])), (np.zeros((3, 2), np.float32), np.array([0, 1, 0]))]
    made = stack_tokens(sets, [None, None])
    np.testing.assert_array_equal(made.labels, [[1, FILLER, FILLER], [0, 1, 0]])
    np.testing.assert_array_equal(made.coords[0], [[1, 1], [0, 0], [0, 0]])
    assert made.masks is None
