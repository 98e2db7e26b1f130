"""PerSAM without training (Zhang et al. 2023, "Personalize Segment Anything Model with One Shot", arXiv:2305.03048).

Everything happens in the segmenter's own embedding. The mean of the reference's foreground cells is compared with
every cell of the target (cosine); the most similar place becomes a positive point, the least similar one a negative
point. Three decoder calls follow: the two points; the points with the first answer as mask prompt; the points with
the second answer as mask prompt and its bounding box as box. The last two calls give three masks each, of which SAM's
own IoU takes one.

What differs from the paper: target-guided attention and target-semantic prompting alter the inside of SAM's decoder
(a bias in its cross-attention, a vector added to its tokens), which the common segmenter interface does not offer;
they are left out, so this is PerSAM with its location prior and its cascaded refinement. In the paper's ablation on
PerSeg the two parts give 1.9 and 3.5 of 89.3 points of mIoU. The encoder is MobileSAM's and not ViT-H's. The 64 x 64
cells are taken to cover the image exactly, which shifts a point by less than a cell at the padded edge. PerSAM has no
notion of an absent object.

Published, with ViT-H and all parts: mIoU 89.3 on PerSeg; 23.0 on COCO-20i, 71.2 on FSS-1000, 23.9 on ISIC (the last
three as given by the GF-SAM paper, arXiv:2410.06964).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gpoa.baselines.base import Answer, FrozenModels, full_mask
from gpoa.geometry import patch_centers_original
from gpoa.matching.reference import make_reference
from gpoa.segmenters.embedding_tokens import CELL, embedding_tokens
from gpoa.types import ImageEmbedding, PatchFeatures, PointPrompts


def embedding_cells(embedding: ImageEmbedding) -> PatchFeatures:
    """The cells of the segmenter's embedding that hold the image, as patch tokens.

    Args:
        embedding: of the image.

    Returns:
        Tokens [rows * columns, 256] of unit length; a cell is a patch of 16 pixels.
    """
    rows, columns = (max(1, math.ceil(side / CELL)) for side in embedding.input_size)
    return PatchFeatures(
        tokens=embedding_tokens(embedding, (rows, columns)),
        grid_size=(rows, columns),
        patch_size=CELL,
        input_size=(rows * CELL, columns * CELL),
        original_size=embedding.original_size,
    )


def location_prior(similarity: np.ndarray, cells: PatchFeatures) -> PointPrompts:
    """The most similar place as positive point and the least similar one as negative point (paper, section 3.2).

    Args:
        similarity: [P] cosine of each cell with the reference's foreground.
        cells: the target's cells; only their geometry is used.

    Returns:
        Two points, the positive first.
    """
    chosen = [int(similarity.argmax()), int(similarity.argmin())]
    return PointPrompts(point_coords=patch_centers_original(cells)[chosen], point_labels=np.array([1, 0]))


def mask_box(mask: np.ndarray) -> np.ndarray | None:
    """The bounding box [4] float32 (x0, y0, x1, y1) of a mask [H, W] bool in its pixels; None where it is empty."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max(), rows.max()], dtype=np.float32)


class PerSam:
    """The training-free PerSAM as a `Method`.

    Args:
        models: the frozen models; only the segmenter is used.
        seed: unused, nothing is drawn at random.
        refinements: decoder calls after the first, 0 to 2; the paper's two are the cascaded post-refinement.

    Raises:
        ValueError: `refinements` is not 0, 1 or 2.
    """

    def __init__(self, models: FrozenModels, seed: int = 0, refinements: int = 2) -> None:
        if refinements not in (0, 1, 2):
            raise ValueError(f"PerSam: refinements is {refinements}; take 0, 1 or 2")
        self.models, self.seed, self.refinements = models, seed, refinements
        self._prototype: np.ndarray | None = None

    def fit(self, image: np.ndarray, mask: np.ndarray) -> None:
        """See `Method.fit`."""
        reference = make_reference([(embedding_cells(self.models.embedding(image)), mask)])
        mean = reference.tokens[reference.labels].mean(axis=0)
        self._prototype = mean / max(float(np.linalg.norm(mean)), 1e-12)

    def predict(self, image: np.ndarray) -> Answer:
        """See `Method.predict`."""
        assert self._prototype is not None, "fit comes before predict"
        embedding = self.models.embedding(image)
        cells = embedding_cells(embedding)
        prompts = location_prior(cells.tokens @ self._prototype, cells)
        first = self.models.segmenter.decode(embedding, [prompts])
        logits = first.low_res_logits[0, 0]
        for step in range(self.refinements):
            box = mask_box(full_mask(logits, embedding)) if step == 1 else None
            prompts = replace(prompts, mask_prompt=logits, box=box, mask_output=0)
            answer = self.models.segmenter.decode(embedding, [prompts], multimask_output=True)
            best = int(answer.iou_predictions[0].argmax())
            logits, prompts = answer.low_res_logits[0, best], replace(prompts, mask_output=best + 1)
        return Answer(mask=full_mask(logits, embedding), prompts=prompts)
