"""What the pipeline hands back for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpoa.datasets.prompt_file import PromptRecord
from gpoa.search.strategies import Optimized


@dataclass(frozen=True, eq=False)
class Prediction:
    """What `predict` returns for one image.

    Args:
        mask: [H, W] bool at the image's original size.
        initial: the initial prompts.
        optimized: the prompts that made the mask.
        search: all trials of the optimiser; None where the object was not found.
    """

    mask: np.ndarray
    initial: PromptRecord
    optimized: PromptRecord
    search: Optimized | None

    @property
    def confidence(self) -> float:
        """The judge's score of the mask, in [0, 1]; 0 where the object was not found."""
        return self.optimized.confidence or 0.0
