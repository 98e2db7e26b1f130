"""Choices that readers and writers of masks offer, without what carries them out: importing this module costs
nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpoa.errors import ConfigError

CocoFormat = Literal["polygon", "rle"]
"""How a segmentation is written."""


@dataclass(frozen=True)
class CocoFile:
    """A COCO json file that is to be written.

    Args:
        path: the file.
        segmentation: "polygon", or "rle" (uncompressed run lengths: smaller for ragged masks, but fewer tools edit
            them).
    """

    path: Path
    segmentation: CocoFormat = "polygon"


@dataclass(frozen=True)
class MaskOptions:
    """Which pixels of a reference mask are the object, where its values do not say so by themselves."""

    label: int | None = None
    """The object is where the mask has this value (palette: index), for masks of several objects or classes."""
    label_name: str | None = None
    """The object is what an annotation file (COCO, YOLO, Label Studio, CVAT, ImageJ) calls this class."""
    mask_threshold: float | None = None
    """The object is where the mask is at least this, in the file's own values (0.5 for probabilities, 128 for 8
    bits)."""
    invert_mask: bool = False
    """The object is what the mask leaves out."""

    def __post_init__(self) -> None:
        if self.label is not None and self.mask_threshold is not None:
            raise ConfigError("--label and --mask-threshold: give one of them, each says alone what the object is")
        if self.mask_threshold is not None and not math.isfinite(self.mask_threshold):
            raise ConfigError(f"--mask-threshold {self.mask_threshold}: a finite number is expected, such as 0.5")


NO_OPTIONS = MaskOptions()
"""The values say by themselves what the object is."""
