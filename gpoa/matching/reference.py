"""The labelled side of a match: the patches of one or several reference images with their masks.

Legend: `R` reference patches over all shots, `D` feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpoa.errors import MaskError
from gpoa.geometry import mask_to_patches
from gpoa.types import PatchFeatures


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """Labelled patches.

    Args:
        tokens: [R, D] float32, unit length.
        foreground: [R] float32 in [0, 1], share of the patch that the mask covers.
    """

    tokens: np.ndarray
    foreground: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """[R] bool: patches mostly covered; where none is (a tiny object), the patches covered most."""
        cut = min(0.5, float(self.foreground.max()))
        return self.foreground >= cut


def make_reference(shots: Sequence[tuple[PatchFeatures, np.ndarray]]) -> Reference:
    """Joins k labelled images into one reference.

    Args:
        shots: (features, mask [H, W] bool) for each image; the mask has the image's original size.

    Returns:
        The labelled patches of all shots.

    Raises:
        MaskError: no patch is foreground, or none is background.
    """
    tokens = np.concatenate([features.tokens for features, _ in shots])
    parts = [mask_to_patches(mask, features.grid_size).reshape(-1) for features, mask in shots]
    reference = Reference(tokens=tokens, foreground=np.concatenate(parts))
    if reference.foreground.max() <= 0:
        raise MaskError("the reference mask is empty; mark the object with non-zero pixels")
    if reference.labels.all():
        raise MaskError("the reference mask covers every patch; leave some background around the object")
    return reference
