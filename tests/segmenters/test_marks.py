"""Points and boxes that a person set, as a mask: one call for what belongs together, bad marks refused in one line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from gpoa.errors import PromptError
from gpoa.geometry import sam_input_size
from gpoa.segmenters.marks import make_marks, mask_of_marks
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

SIZE = (128, 256)
LEFT, RIGHT = (slice(20, 60), slice(20, 60)), (slice(20, 60), slice(150, 190))
IMAGE = ImageEmbedding(torch.zeros(1), sam_input_size(SIZE), SIZE)


class TwoObjects:
    """Knows two squares; answers with the one that the first positive point lies in, or with the box. Of three masks
    the last is the square, the others are larger and rated lower."""

    model_id = "two"

    def __init__(self) -> None:
        self.asked: list[PointPrompts] = []

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        (prompt,) = prompts
        self.asked.append(prompt)
        logits = np.full((256, 256), -5, dtype=np.float32)
        if prompt.box is not None:
            x0, y0, x1, y1 = prompt.box.astype(int)
            logits[y0:y1, x0:x1] = 5
        elif prompt.point_coords[0, 0] < 100:
            logits[LEFT] = 5
        else:
            logits[RIGHT] = 5
        masks = [np.full_like(logits, 5), np.full_like(logits, 5), logits] if multimask_output else [logits]
        return MaskPrediction(np.stack(masks)[None], np.linspace(0.1, 0.9, len(masks), dtype=np.float32)[None])


def _mask(segmenter: TwoObjects, **marks: object) -> np.ndarray:
    made = make_marks(**marks)  # type: ignore[arg-type]
    assert made is not None
    return mask_of_marks(segmenter, IMAGE, made)


def test_a_lone_point_takes_the_mask_that_is_rated_highest_and_gives_it_back() -> None:
    segmenter = TwoObjects()
    mask = _mask(segmenter, points=(40, 40))
    assert mask.shape == SIZE and mask[LEFT].all() and not mask[:, 70:].any()
    assert [prompt.mask_prompt is None for prompt in segmenter.asked] == [True, False]


def test_points_on_two_objects_give_both() -> None:
    """The joint answer covers only one of them, so each point is asked for alone."""
    mask = _mask(TwoObjects(), points=[(40, 40), (160, 40)])
    assert mask[LEFT].all() and mask[RIGHT].all() and not mask[:, 80:130].any()


def test_points_on_one_object_share_a_call() -> None:
    segmenter = TwoObjects()
    _mask(segmenter, points=[(30, 30), (50, 50)], not_points=(200, 100))
    assert len(segmenter.asked) == 2 and segmenter.asked[0].point_labels.tolist() == [1, 1, 0]


def test_boxes_are_objects_and_a_not_box_is_left_out() -> None:
    segmenter = TwoObjects()
    mask = _mask(segmenter, box=[(20, 20, 60, 60), (150, 20, 190, 60)], not_box=(150, 20, 170, 60), points=(30, 30))
    assert mask[LEFT].all() and mask[20:60, 172:188].all() and not mask[:, 150:170].any()
    assert [len(prompt.point_labels) for prompt in segmenter.asked] == [1, 1, 0, 0]  # the point lies in the first box


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"points": (300, 10)}, "point 300,10 lies outside the image of 256x128"),  # width x height
        ({"points": (10, 128)}, "point 10,128 lies outside"),  # rows end at 127
        ({"box": (-1, 0, 20, 20)}, "box -1,0,20,20 leaves the image of 256x128"),
        ({"box": (20, 0, 20, 20)}, "expected left, top, right, bottom"),  # no width
        ({"points": (1, 2, 3)}, r"points are \(x, y\) in pixels, not"),
        ({"points": (1, float("nan"))}, r"points are \(x, y\)"),
        ({"not_points": (1, 2)}, "only where the object is not"),
        ({"points": (40, 40), "not_box": (0, 0, 256, 128)}, "the marks make an empty mask"),
    ],
)
def test_bad_marks_are_refused(marks: dict, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        _mask(TwoObjects(), **marks)


def test_no_marks_are_no_marks() -> None:
    assert make_marks() is None
