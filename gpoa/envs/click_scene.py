"""A labelled image to click on."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from gpoa.envs.click_oracle import truth_frame
from gpoa.types import ImageEmbedding


@dataclass(frozen=True, eq=False)
class ClickScene:
    """One labelled image.

    Args:
        group: its class.
        image: [H, W, 3] uint8 RGB.
        embedding: the segmenter's.
        prior: [256, 256] float32 log odds in SAM's frame, from the class's reference; None where there is none.
        truth: [H, W] bool.
    """

    group: str
    image: np.ndarray
    embedding: ImageEmbedding
    prior: np.ndarray | None
    truth: np.ndarray

    @functools.cached_property
    def wanted(self) -> np.ndarray:
        """[256, 256] bool: the truth in SAM's frame."""
        return truth_frame(self.truth)
