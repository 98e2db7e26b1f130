"""Episodes of the toy in the place of `BubbleEpisodes`."""

from __future__ import annotations

import numpy as np

from gpoa.envs.bubble_episode import BubbleEpisode
from gpoa.envs.bubble_toy import toy_episode


class ToyEpisodes:
    """New images for training, always the same ones for validation.

    Args:
        seed: of the validation images.
        count: how many there are.
    """

    def __init__(self, seed: int, count: int) -> None:
        rng = np.random.default_rng(seed)
        self.by_class = {"toy": [toy_episode(rng) for _ in range(count)]}
        self._turn = 0

    def draw(self, rng: np.random.Generator) -> BubbleEpisode:
        """A new image."""
        return toy_episode(rng)

    def next(self, rng: np.random.Generator) -> BubbleEpisode:
        """One validation image after another."""
        self._turn += 1
        return self.every()[(self._turn - 1) % len(self.every())]

    def every(self) -> list[BubbleEpisode]:
        """The validation images."""
        return self.by_class["toy"]
