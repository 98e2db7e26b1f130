"""Segmenters by name: one more backend is one more entry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from gpoa.errors import ModelError
from gpoa.segmenters.base import Segmenter
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.segmenters.sam import Sam

Builder = Callable[[Path, str, str], Segmenter]
"""(folder of the weights, id of the weights, torch device) -> segmenter."""


def _official_sam(architecture: str, folder: Path, weights_id: str, device: str) -> Segmenter:
    """Official SAM from the `.pth` file in its folder; ModelError where there is none."""
    checkpoint = next(folder.glob("*.pth"), None)
    if checkpoint is None:
        raise ModelError(f"{folder}: no .pth file; run `gpoa models fetch sam_{architecture}`")
    return Sam(checkpoint, architecture, weights_id, device)


SEGMENTERS: dict[str, Builder] = {
    "mobile_sam": MobileSam,
    "sam_vit_b": partial(_official_sam, "vit_b"),
    "sam_vit_l": partial(_official_sam, "vit_l"),
    "sam_vit_h": partial(_official_sam, "vit_h"),
}
