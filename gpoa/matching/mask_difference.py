"""How a mask differs from the first mask of its image, and what the features say of the difference.

Whether a change helps is easier to tell than how good a mask is: the evidence is averaged over what was added and what
was removed, and everything that makes the whole image easy or hard drops out. (Measured on the training classes: a
linear model of these numbers chose better than a convolutional network that saw each mask by itself.)

Legend: (h, w) patch grid.
"""

from __future__ import annotations

import numpy as np

from gpoa.matching.relational_maps import IMAGE_MAPS, MASK_MAPS, SCALARS, MaskReading

_COMPARED = ("reproduced", "contrast", "segmenter_contrast")
_EVIDENCE = (*IMAGE_MAPS, *(f"first_{name}" for name in _COMPARED), *_COMPARED, "consensus")
_CONTEXT = ("sam_iou", "agreement", "separability", "reverse", "area_ratio")
DIFFERENCES = (
    *(f"change_of_{name}" for name in SCALARS),
    "change_of_size_error",
    *(f"added_{name}" for name in _EVIDENCE),
    *(f"removed_{name}" for name in _EVIDENCE),
    "added",
    "removed",
    *(f"first_{name}" for name in _CONTEXT),
)
"""Change of each scalar; change of |log(area / reference area)|; sums of each evidence over what was added and over
what was removed, and their areas, all as shares of the area of both masks together; and some scalars of the first
mask."""


def mask_difference(
    image_maps: np.ndarray, first: MaskReading, other: MaskReading, consensus: np.ndarray
) -> np.ndarray:
    """Compares a mask with the first mask of its image.

    Args:
        image_maps: [len(IMAGE_MAPS), h, w].
        first: reading of the first mask.
        other: reading of the mask.
        consensus: [h, w] mean of the decoder's four masks for the first set.

    Returns:
        [len(DIFFERENCES)] float32; for the first mask itself all changes are 0.
    """
    before, after = first.maps.astype(np.float32), other.maps.astype(np.float32)
    mask = MASK_MAPS.index("mask")
    added = np.clip(after[mask] - before[mask], 0, 1)
    removed = np.clip(before[mask] - after[mask], 0, 1)
    both = float(np.maximum(after[mask], before[mask]).sum()) + 1
    centred = image_maps.copy()
    centred[IMAGE_MAPS.index("probability")] = 2 * image_maps[IMAGE_MAPS.index("probability")] - 1
    tail = [MASK_MAPS.index(name) for name in _COMPARED]
    evidence = np.concatenate([centred, before[tail], after[tail], (2 * consensus - 1)[None]])
    ratio = SCALARS.index("area_ratio")
    parts = [
        other.scalars - first.scalars,
        [abs(other.scalars[ratio]) - abs(first.scalars[ratio])],
        (evidence * added).sum(axis=(1, 2)) / both,
        (evidence * removed).sum(axis=(1, 2)) / both,
        [added.sum() / both, removed.sum() / both],
        first.scalars[[SCALARS.index(name) for name in _CONTEXT]],
    ]
    return np.concatenate(parts).astype(np.float32)
