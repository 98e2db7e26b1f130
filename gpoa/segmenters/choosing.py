"""One mask a prompt set out of the four that SAM's decoder makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpoa.config import MultimaskName
from gpoa.segmenters.base import Segmenter
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts


def decode_chosen(segmenter: Segmenter, embedding: ImageEmbedding, sets: Sequence[PointPrompts]) -> MaskPrediction:
    """One mask a set: the output that the set names.

    Args:
        segmenter: any.
        embedding: of the image.
        sets: B prompt sets.

    Returns:
        low_res_logits [B, 1, 256, 256] and iou_predictions [B, 1].
    """
    every = any(prompts.mask_output for prompts in sets)
    prediction = segmenter.decode(embedding, sets, all_outputs=every)
    row, output = np.arange(len(sets))[:, None], np.array([[prompts.mask_output] for prompts in sets])
    return MaskPrediction(prediction.low_res_logits[row, output], prediction.iou_predictions[row, output])


def decode_masks(
    segmenter: Segmenter, embedding: ImageEmbedding, sets: Sequence[PointPrompts], choice: MultimaskName
) -> list[np.ndarray]:
    """One mask a set, chosen by a rule.

    Args:
        segmenter: any.
        embedding: of the image.
        sets: B prompt sets.
        choice: single, the output that the set names; of the three others, largest or the one of the highest predicted
            IoU.

    Returns:
        B times [256, 256] float32 logits in SAM's padded frame.
    """
    if choice == "single":
        return list(decode_chosen(segmenter, embedding, sets).low_res_logits[:, 0])
    prediction = segmenter.decode(embedding, sets, multimask_output=True)
    if choice == "largest":
        order = (prediction.low_res_logits > 0).sum(axis=(2, 3))
    else:
        order = prediction.iou_predictions
    return [logits[best] for logits, best in zip(prediction.low_res_logits, order.argmax(axis=1))]
