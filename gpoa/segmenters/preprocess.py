"""SAM's image preprocessing, as `SamPredictor.set_image` does it (Kirillov et al. 2023, arXiv:2304.02643)."""

from __future__ import annotations

import numpy as np

from gpoa.geometry import SAM_SIDE, sam_input_size
from gpoa.types import Size

PIXEL_MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
PIXEL_STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)


def preprocess(image: np.ndarray) -> tuple[np.ndarray, Size]:
    """Scales the longest side to 1024, normalises, and pads with zeros at the right and the bottom.

    Args:
        image: [H, W, 3] uint8 RGB.

    Returns:
        ([1, 3, 1024, 1024] float32, (H, W) of the image inside the square).
    """
    from PIL import Image

    size = sam_input_size((image.shape[0], image.shape[1]))
    picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = (np.asarray(picture, dtype=np.float32) - PIXEL_MEAN) / PIXEL_STD
    square = np.zeros((1, 3, SAM_SIDE, SAM_SIDE), dtype=np.float32)
    square[0, :, : size[0], : size[1]] = pixels.transpose(2, 0, 1)
    return square, size
