"""SAM 3's promptable tracker (Meta, 2025) on single images, through `transformers`; points, boxes and masks, no text.

Its weights are behind a licence gate: accept it on the hub page, log in with `hf auth login`, then fetch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpoa.segmenters.sam2 import Family, Sam2

SAM3 = Family(
    class_name="Sam3TrackerModel",
    kinds=("sam3_video", "sam3_tracker"),
    mean=np.full(3, 127.5, dtype=np.float32),
    std=np.full(3, 127.5, dtype=np.float32),
)


def sam3(folder: Path) -> Sam2:
    """SAM 3 from a folder with `config.json` and `model.safetensors`.

    Args:
        folder: the model's folder.

    Returns:
        The backend, which works as SAM 2's does: its square has 1008 pixels, its masks 288 cells a side.
    """
    return Sam2(folder, SAM3)
