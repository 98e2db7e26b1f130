"""What an agent sees of a click episode.

Legend: `S` the side of an observation in pixels; the image is stretched to a square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from gpoa.envs.click_episode import ClickState
from gpoa.envs.click_scene import ClickScene
from gpoa.geometry import from_low_res_frame
from gpoa.types import Size

DISC = 0.02
"""Radius of a click in a click map, as a fraction of the side."""


class Observer(Protocol):
    """Makes observations of one kind.

    Attributes:
        space: what they are.
    """

    space: spaces.Space[Any]

    def __call__(self, scene: ClickScene, state: ClickState, progress: float) -> Any:
        """The observation of a state; `progress` is the share of the steps that are used up."""
        ...


class AlignSam:
    """The dictionary of AlignSAM (Huang et al. 2024): `image` [S, S, 3] uint8, `target_category` (a number),
    `sam_image_embeddings` [256, 64, 64] float32, `mask_probability` [256, 256] float32 in SAM's frame, `step` [1]
    float32 in [0, 1], and with `prior` one more map, `prior` [256, 256].

    Args:
        size: S.
        prior: whether there is a map of the prior.
        groups: names of the classes.
    """

    def __init__(self, size: int, prior: bool, groups: Sequence[str]) -> None:
        self.size, self.prior = size, prior
        self.groups = {name: number for number, name in enumerate(groups)}
        parts: dict[str, spaces.Space[Any]] = {
            "image": spaces.Box(0, 255, (size, size, 3), np.uint8),
            "target_category": spaces.Discrete(len(groups)),
            "sam_image_embeddings": spaces.Box(-np.inf, np.inf, (256, 64, 64), np.float32),
            "mask_probability": spaces.Box(0, 1, (256, 256), np.float32),
            "step": spaces.Box(0, 1, (1,), np.float32),
        }
        if prior:
            parts["prior"] = spaces.Box(0, 1, (256, 256), np.float32)
        self.space = spaces.Dict(parts)

    def __call__(self, scene: ClickScene, state: ClickState, progress: float) -> dict[str, Any]:
        """See `Observer`."""
        seen = {
            "image": square(scene.image, self.size),
            "target_category": np.int64(self.groups[scene.group]),
            "sam_image_embeddings": scene.embedding.features[0].float().cpu().numpy().copy(),
            "mask_probability": probability(state.logits),
            "step": np.array([min(progress, 1.0)], dtype=np.float32),
        }
        if self.prior:
            assert scene.prior is not None  # the environment has checked it
            seen["prior"] = probability(scene.prior)
        return seen


class Channels:
    """An image of 6 channels, [6, S, S] uint8: red, green, blue, mask probability, positive and negative clicks as
    discs; with `prior` a seventh, its probability.

    Args:
        size: S.
        prior: whether there is a map of the prior.
        groups: not used.
    """

    def __init__(self, size: int, prior: bool, groups: Sequence[str]) -> None:
        self.size, self.prior = size, prior
        self.space = spaces.Box(0, 255, (6 + prior, size, size), np.uint8)

    def __call__(self, scene: ClickScene, state: ClickState, progress: float) -> np.ndarray:
        """See `Observer`."""
        size, side = scene.embedding.original_size, self.size
        seen = np.zeros((6 + self.prior, side, side), dtype=np.uint8)
        seen[:3] = np.moveaxis(square(scene.image, side), -1, 0)
        seen[3] = 255 * mask_on(state.logits, size, side)
        y, x = np.mgrid[0:side, 0:side] + 0.5
        for click in state.clicks:
            row, column = (click.y + 0.5) * side / size[0], (click.x + 0.5) * side / size[1]
            seen[4 if click.label == 1 else 5, (y - row) ** 2 + (x - column) ** 2 <= max(1.0, DISC * side) ** 2] = 255
        if self.prior:
            assert scene.prior is not None  # the environment has checked it
            seen[6] = 255 * mask_on(scene.prior, size, side)
        return seen


OBSERVATIONS: dict[str, type[AlignSam] | type[Channels]] = {"alignsam": AlignSam, "channels": Channels}
"""Name -> what makes the observations."""


def square(image: np.ndarray, side: int) -> np.ndarray:
    """An image [H, W, 3] uint8 stretched to [side, side, 3] uint8."""
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))


def probability(logits: np.ndarray) -> np.ndarray:
    """Logits as float32 probabilities."""
    return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)


def mask_on(logits: np.ndarray, size: Size, side: int) -> np.ndarray:
    """The probabilities of logits in SAM's frame over the image, [side, side] float32 in [0, 1]."""
    return np.clip(from_low_res_frame(probability(logits), size, (side, side)), 0, 1)
