"""One mask a prompt set out of the four that SAM's decoder makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gpoa.config import MultimaskName
from gpoa.geometry import LOW_RES_SIDE
from gpoa.segmenters.base import Segmenter
from gpoa.types import DENSE_OUTPUT, ImageEmbedding, MaskPrediction, PointPrompts


def decode_chosen(segmenter: Segmenter, embedding: ImageEmbedding, sets: Sequence[PointPrompts]) -> MaskPrediction:
    """One mask a set: the output that the set names.

    Args:
        segmenter: any.
        embedding: of the image.
        sets: B prompt sets.

    Returns:
        low_res_logits [B, 1, 256, 256] and iou_predictions [B, 1]; 1 for a mask prompt that is the mask itself.
    """
    asked = [prompts for prompts in sets if prompts.mask_output != DENSE_OUTPUT]
    logits = np.empty((len(sets), 1, LOW_RES_SIDE, LOW_RES_SIDE), dtype=np.float32)
    scores = np.ones((len(sets), 1), dtype=np.float32)
    answers: Iterator[tuple[np.ndarray, np.ndarray]] = iter(())
    if asked:
        prediction = segmenter.decode(embedding, asked, all_outputs=any(prompts.mask_output for prompts in asked))
        answers = zip(prediction.low_res_logits, prediction.iou_predictions, strict=True)
    for place, prompts in enumerate(sets):
        if prompts.mask_output == DENSE_OUTPUT:
            logits[place, 0] = prompts.mask_prompt
            continue
        masks, own = next(answers)
        logits[place, 0], scores[place, 0] = masks[prompts.mask_output], own[prompts.mask_output]
    return MaskPrediction(logits, scores)


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
    areas = choice == "largest"
    order = (prediction.low_res_logits > 0).sum(axis=(2, 3)) if areas else prediction.iou_predictions
    return [logits[best] for logits, best in zip(prediction.low_res_logits, order.argmax(axis=1), strict=True)]
