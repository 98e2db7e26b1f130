"""Which of the decoder's masks a set gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpoa.config import MultimaskName
from gpoa.segmenters.choosing import decode_chosen, decode_masks
from gpoa.types import MaskPrediction, PointPrompts
from tests.segmenters.builders import embedding_of

POINT = PointPrompts(np.array([[1, 1]], np.float32), np.array([1]))
EMBEDDING = embedding_of((4, 4), (1024, 1024))


class _Segmenter:
    """Mask n of a set is n everywhere, but for as many negative pixels as `holes` says; its predicted IoU is `iou`."""

    model_id = "fake"

    def decode(self, embedding, prompts, multimask_output=False, all_outputs=False) -> MaskPrediction:
        holes, iou = (0, 9, 1, 5), (0.9, 0.3, 0.2, 0.8)
        masks = np.ones((4, 256, 256), np.float32) * np.arange(1, 5)[:, None, None]
        for mask, count in zip(masks, holes, strict=True):
            mask[0, :count] = -1.0
        chosen = slice(0, 4) if all_outputs else slice(1, 4) if multimask_output else slice(0, 1)
        one = masks[chosen], np.array(iou, np.float32)[chosen]
        return MaskPrediction(*(np.stack([part] * len(prompts)) for part in one))


def test_the_output_that_a_set_names() -> None:
    made = decode_chosen(_Segmenter(), EMBEDDING, [replace(POINT, mask_output=2), POINT])
    assert made.low_res_logits[:, 0, 9, 9].tolist() == [3.0, 1.0]
    np.testing.assert_allclose(made.iou_predictions, [[0.2], [0.9]])
    assert decode_chosen(_Segmenter(), EMBEDDING, [POINT]).low_res_logits.shape == (1, 1, 256, 256)


@pytest.mark.parametrize(("choice", "want"), [("single", 1.0), ("largest", 3.0), ("best", 4.0)])
def test_rules(choice: MultimaskName, want: float) -> None:
    """The first output; of the others the one with the fewest holes; the one of which SAM expects most."""
    (logits,) = decode_masks(_Segmenter(), EMBEDDING, [POINT], choice)
    assert logits.shape == (256, 256) and logits[9, 9] == want
