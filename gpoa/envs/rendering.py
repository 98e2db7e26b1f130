"""What `render_mode="rgb_array"` shows: the image, or the prior in grey, with the mask and the points over it."""

from __future__ import annotations

import numpy as np

from gpoa.errors import ConfigError

SIDE = 256
MASK_COLOR, POSITIVE_COLOR, NEGATIVE_COLOR = (86, 180, 233), (0, 158, 115), (213, 94, 0)
MASK_OPACITY = 0.4
POINT_RADIUS = 3


def draw_state(background: np.ndarray, mask: np.ndarray, xy: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A small picture of a state; its size does not depend on the image's.

    Args:
        background: [h, w, 3] uint8 RGB, or [h, w] in [0, 1], of the whole image.
        mask: [h', w'] bool or share, of the whole image.
        xy: [K, 2] (x, y) as shares of width and height, in [0, 1].
        labels: [K] int, 1 foreground, 0 background.

    Returns:
        [256, 256, 3] uint8 RGB, the image stretched to a square.
    """
    if background.ndim == 2:
        background = np.repeat((np.clip(background, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    picture = _stretched(background).astype(np.float32)
    covered = _stretched(mask)[..., None] > 0.5
    picture = np.where(covered, (1 - MASK_OPACITY) * picture + MASK_OPACITY * np.array(MASK_COLOR), picture)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for (px, py), label in zip(np.asarray(xy) * SIDE, labels, strict=True):
        disc = (x + 0.5 - px) ** 2 + (y + 0.5 - py) ** 2
        picture[disc <= (POINT_RADIUS + 1) ** 2] = 255
        picture[disc <= POINT_RADIUS**2] = POSITIVE_COLOR if label == 1 else NEGATIVE_COLOR
    return picture.round().astype(np.uint8)


def check_render_mode(mode: str | None) -> None:
    """Refuses what the environments cannot render.

    Raises:
        ConfigError: it is neither `rgb_array` nor None.
    """
    if mode not in (None, "rgb_array"):
        raise ConfigError(f"render_mode {mode!r}: rgb_array or None")


def _stretched(values: np.ndarray) -> np.ndarray:
    """The nearest values on SIDE x SIDE pixels."""
    rows = (np.arange(SIDE) + 0.5) * values.shape[0] / SIDE
    columns = (np.arange(SIDE) + 0.5) * values.shape[1] / SIDE
    return values[rows.astype(np.int64)[:, None], columns.astype(np.int64)[None]]
