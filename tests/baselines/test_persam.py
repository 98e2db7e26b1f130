from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpoa.baselines.persam import PerSam, embedding_cells, location_prior, mask_box
from gpoa.errors import MaskError
from gpoa.types import PatchFeatures
from tests.baselines.fakes import BLUE, RED, FakeModels, coloured, iou, picture


@pytest.fixture
def fitted() -> PerSam:
    method = PerSam(FakeModels())
    reference = picture((64, 64), (0, 0, 32, RED))
    method.fit(reference, coloured(reference, RED))
    return method


@pytest.mark.parametrize(
    ("size", "square"),
    [
        ((96, 64), (48, 16, 32)),  # higher than wide
        ((64, 128), (16, 80, 32)),  # wider than high
        ((128, 128), (100, 20, 8)),  # a small object
    ],
)
def test_finds_the_red_square(fitted: PerSam, size: tuple[int, int], square: tuple[int, int, int]) -> None:
    target = picture(size, (*square, RED), (0, 0, 16, BLUE))
    assert iou(fitted.predict(target).mask, coloured(target, RED)) > 0.85


def test_three_calls_that_build_on_each_other(fitted: PerSam) -> None:
    target = picture((64, 64), (32, 16, 16, RED))
    answer = fitted.predict(target)
    first, second, third = fitted.models.segmenter.calls
    assert (first.mask_prompt is None, first.box is None) == (True, True)
    assert (second.mask_prompt is None, second.box is None) == (False, True)
    assert third.box.tolist() == [16, 32, 31, 47]  # (x0, y0, x1, y1) of the square's outermost pixels
    assert answer.prompts.mask_output == 1  # the mask that SAM holds for the best
    assert first.point_labels.tolist() == [1, 0]


@pytest.mark.parametrize("refinements", [0, 1, 2])
def test_refinements_cost_one_call_each(refinements: int) -> None:
    method = PerSam(FakeModels(), refinements=refinements)
    image = picture((64, 64), (0, 0, 32, RED))
    method.fit(image, coloured(image, RED))
    assert method.predict(image).prompts is not None
    assert len(method.models.segmenter.calls) == 1 + refinements


def test_refinements_are_checked() -> None:
    with pytest.raises(ValueError, match="refinements is 3; take 0, 1 or 2"):
        PerSam(FakeModels(), refinements=3)


def test_empty_answer_stays_empty(fitted: PerSam) -> None:
    segmenter = fitted.models.segmenter
    decode = segmenter.decode

    def nothing(*args: object, **kwargs: object) -> object:
        answer = decode(*args, **kwargs)
        return replace(answer, low_res_logits=np.full_like(answer.low_res_logits, -1.0))

    segmenter.decode = nothing
    answer = fitted.predict(picture((64, 64), (32, 16, 16, RED)))
    assert not answer.mask.any()
    assert answer.prompts.box is None  # an empty mask has no box


def test_location_prior_takes_most_and_least_similar() -> None:
    cells = PatchFeatures(np.zeros((6, 1)), (2, 3), 10, (20, 30), (40, 60))
    prompts = location_prior(np.array([0.1, 0.2, 0.9, 0.3, -0.5, 0.0]), cells)
    # cell 2 is row 0, column 2; cell 4 is row 1, column 1; cells of 10 input pixels are 20 original ones
    assert prompts.point_coords.tolist() == [[49.5, 9.5], [29.5, 29.5]]


def test_cells_of_the_image_alone() -> None:
    cells = embedding_cells(FakeModels().embedding(picture((64, 128))))
    assert (cells.grid_size, cells.tokens.shape) == ((32, 64), (2048, 256))


def test_mask_box() -> None:
    mask = np.zeros((5, 9), dtype=bool)
    assert mask_box(mask) is None
    mask[1:3, 4:8] = True
    assert mask_box(mask).tolist() == [4, 1, 7, 2]


@pytest.mark.parametrize(("value", "match"), [(False, "empty"), (True, "covers every patch")])
def test_useless_reference_is_refused(value: bool, match: str) -> None:
    with pytest.raises(MaskError, match=match):
        PerSam(FakeModels()).fit(picture((64, 64)), np.full((64, 64), value))
