"""The data that passes between stages.

Legend: `P` patches, `D` feature width, `N` candidates, `K` points, `B` prompt sets, `M` masks a set, `H, W` image rows
and columns. Sizes are (H, W); points are (x, y) in original pixels, integer values at pixel centres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Size = tuple[int, int]
"""(rows, columns)."""
DENSE_OUTPUT = 4
"""`PointPrompts.mask_output` of the mask prompt itself."""


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One image on disk and, where it is known, its mask.

    Args:
        stem: the name under which everything made from this image is stored.
        image_path: the image file.
        mask_path: its mask file, or None.
        page: which page of the file, from 0; None is the file's only one, or its projection.
    """

    stem: str
    image_path: Path
    mask_path: Path | None = None
    page: int | None = None

    @property
    def known_mask(self) -> Path:
        """The mask file, where there must be one.

        Raises:
            ValueError: there is none.
        """
        if self.mask_path is None:
            raise ValueError(f"{self.image_path}: has no mask")
        return self.mask_path


@dataclass(frozen=True, eq=False, slots=True)
class PatchFeatures:
    """Features of one image on a grid of patches.

    Args:
        tokens: [P, D] float32, every row of unit length, patches in row-major order.
        grid_size: (rows, columns) of patches; their product is P.
        patch_size: side of a patch in model-input pixels.
        input_size: (H, W) of the image as the model saw it.
        original_size: (H, W) of the image as the user gave it.
    """

    tokens: np.ndarray
    grid_size: Size
    patch_size: int
    input_size: Size
    original_size: Size


@dataclass(frozen=True, eq=False, slots=True)
class ScoreMap:
    """How much each patch of a target looks like the reference's foreground.

    Args:
        values: [rows, columns] float32; larger is more foreground. The scale depends on the matcher.
        threshold: the value from which on a patch counts as foreground.
        scale: spread of the values (> 0), by which `values - threshold` is divided to get logits.
        detail: [256, 256] float32 logits over the whole image, where the scores come from a finer map; `values` then
            are its strongest logits on a grid of its own.
    """

    values: np.ndarray
    threshold: float
    scale: float
    detail: np.ndarray | None = None

    @property
    def logits(self) -> np.ndarray:
        """[rows, columns] float32: (values - threshold) / scale, positive where foreground."""
        return ((self.values - self.threshold) / self.scale).astype(np.float32)

    @property
    def foreground(self) -> np.ndarray:
        """[rows, columns] bool: values >= threshold."""
        return self.values >= self.threshold


@dataclass(frozen=True, eq=False, slots=True)
class CandidatePoints:
    """Points that may serve as prompts, each at the centre of a patch.

    Args:
        xy: [N, 2] float32 (x, y) in original pixels.
        labels: [N] int64, 1 foreground, 0 background.
        patch_index: [N] int64 row-major index into the patch grid.
        scores: [N] float32 value of the score map (as logit) at the patch.
        component: [N] int64 connected component of the thresholded map that a positive lies in; -1 for negatives.
    """

    xy: np.ndarray
    labels: np.ndarray
    patch_index: np.ndarray
    scores: np.ndarray
    component: np.ndarray


@dataclass(frozen=True, eq=False, slots=True)
class PointPrompts:
    """What one call of the segmenter gets. Field names follow `segment_anything.SamPredictor.predict`.

    Args:
        point_coords: [K, 2] float32 (x, y) in original pixels; K may be 0.
        point_labels: [K] int64, 1 foreground, 0 background.
        box: [4] float32 (x0, y0, x1, y1) in original pixels, or None.
        mask_prompt: [256, 256] float32 logits in SAM's padded low-resolution frame, or None.
        mask_output: which of the decoder's four masks is meant: 0 the single one, 1 to 3 those of `multimask_output`; 4
            is the mask prompt itself, as it is, without the decoder.
    """

    point_coords: np.ndarray
    point_labels: np.ndarray
    box: np.ndarray | None = None
    mask_prompt: np.ndarray | None = None
    mask_output: int = 0

    @property
    def is_empty(self) -> bool:
        """True where there is neither a positive point, nor a box, nor a mask prompt: nothing to segment."""
        return not (self.point_labels == 1).any() and self.box is None and self.mask_prompt is None


@dataclass(frozen=True, eq=False, slots=True)
class Marks:
    """What a person points at in the reference image, in place of a mask.

    Args:
        points: [K, 2] float32 (x, y) in original pixels, on the object.
        not_points: [L, 2] float32, beside it.
        boxes: [B, 4] float32 (x0, y0, x1, y1) in original pixels, each around one object.
        not_boxes: [M, 4] float32, regions that the mask leaves out.
    """

    points: np.ndarray
    not_points: np.ndarray
    boxes: np.ndarray
    not_boxes: np.ndarray


@dataclass(frozen=True, eq=False, slots=True)
class ImageEmbedding:
    """What a segmenter's image encoder made of one image.

    Args:
        features: [1, 256, 64, 64] float32 tensor in SAM's padded frame, whatever frame the model itself works in.
        input_size: (H, W) of the resized image inside the padded square.
        original_size: (H, W) of the image as the user gave it.
        extras: name -> float32 tensor, what the backend's decoder needs besides `features` (or instead of them).
    """

    features: torch.Tensor
    input_size: Size
    original_size: Size
    extras: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class MaskPrediction:
    """What a segmenter's decoder answered to B prompt sets on one image.

    Args:
        low_res_logits: [B, M, 256, 256] float32 in SAM's padded frame; above 0 is foreground.
        iou_predictions: [B, M] float32, SAM's own estimate of each mask's IoU.
    """

    low_res_logits: np.ndarray
    iou_predictions: np.ndarray
