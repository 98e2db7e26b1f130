"""Models that see the image stretched to a square (SAM 2, SAM 3, EfficientSAM), where SAM scales it and pads.

The program speaks of SAM's padded frame only (see `gpoa.geometry`), so a backend of such a model converts: its masks on
the way out, mask prompts on the way in, its embedding for `embedding_tokens`. Both frames cover the image edge to edge,
and no map is cut; along the shorter side the padded frame has fewer cells, so details there are
averaged, as with SAM itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gpoa.geometry import LOW_RES_SIDE, from_low_res_frame, low_res_size, sam_input_size, to_low_res_frame
from gpoa.segmenters.embedding_tokens import CELL
from gpoa.types import Size

if TYPE_CHECKING:
    import torch

PADDING_LOGIT = -10.0
"""Logit outside of the image: surely background."""
_GRID = 64


def stretch(image: np.ndarray, side: int, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Stretches an image to a square and normalises it.

    Args:
        image: [H, W, 3] uint8 RGB.
        side: of the square, in pixels.
        mean: [3] in grey levels.
        std: [3] in grey levels.

    Returns:
        [1, 3, side, side] float32.
    """
    from PIL import Image

    picture = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    pixels = (np.asarray(picture, dtype=np.float32) - mean) / std
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[None])


def to_stretched_points(xy: np.ndarray, original_size: Size, side: int) -> np.ndarray:
    """Points in the stretched square; as with SAM, the models add the half pixel themselves.

    Args:
        xy: [K, 2] (x, y) in original pixels.
        original_size: (H, W).
        side: of the square, in pixels.

    Returns:
        [K, 2] float32 (x, y).
    """
    ratio = np.array([side / original_size[1], side / original_size[0]])
    return (np.asarray(xy, dtype=np.float64).reshape(-1, 2) * ratio).astype(np.float32)


def masks_to_padded(logits: np.ndarray, original_size: Size) -> np.ndarray:
    """Brings masks from the stretched square into SAM's padded low-resolution frame.

    Args:
        logits: [..., S, S] float32.
        original_size: (H, W) of the image.

    Returns:
        [..., 256, 256] float32; outside of the image `PADDING_LOGIT`, but for one row or column that continues the
        image's edge, because enlarging the frame mixes neighbours.
    """
    side = logits.shape[-1]
    rows, columns = low_res_size(original_size)
    maps = logits.reshape(-1, side, side)
    frames = np.empty((len(maps), LOW_RES_SIDE, LOW_RES_SIDE), dtype=np.float32)
    for frame, values in zip(frames, maps, strict=True):
        frame[:] = to_low_res_frame(values, original_size, PADDING_LOGIT)
    if rows < LOW_RES_SIDE:
        frames[:, rows] = frames[:, rows - 1]
    if columns < LOW_RES_SIDE:
        frames[:, :, columns] = frames[:, :, columns - 1]
    return frames.reshape(*logits.shape[:-2], LOW_RES_SIDE, LOW_RES_SIDE)


def mask_to_stretched(frame: np.ndarray, original_size: Size, side: int) -> np.ndarray:
    """Brings a mask prompt from SAM's padded low-resolution frame into the stretched square.

    Args:
        frame: [256, 256] logits.
        original_size: (H, W) of the image.
        side: of the square that the model takes, in cells.

    Returns:
        [side, side] float32.
    """
    return from_low_res_frame(np.asarray(frame, dtype=np.float32), original_size, (side, side))


def features_to_padded(features: torch.Tensor, original_size: Size) -> torch.Tensor:
    """Brings an image embedding from the stretched square into SAM's padded frame, for `embedding_tokens`.

    Args:
        features: [1, C, S, S].
        original_size: (H, W) of the image.

    Returns:
        [1, C, 64, 64], zero outside of the image.
    """
    from torch.nn.functional import interpolate

    rows, columns = (max(1, math.ceil(side / CELL)) for side in sam_input_size(original_size))
    frame = features.new_zeros(1, features.shape[1], _GRID, _GRID)
    frame[..., :rows, :columns] = interpolate(features, (rows, columns), mode="bilinear", antialias=True)
    return frame
