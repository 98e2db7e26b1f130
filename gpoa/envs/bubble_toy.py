"""A toy of the bubble environment without any model: seconds to learn, and every part but SAM is the real one.

An image shows three to five bright discs, the objects, and two faint ones, the decoys, of which the prior is not sure.
The stand-in for SAM covers a disc that holds more positives than negatives. The start has one positive on an object and
one on a decoy: a good policy removes the latter, adds a positive to every other object, and stops.
"""

from __future__ import annotations

import gymnasium
import numpy as np
from scipy import ndimage

from gpoa.envs.bubble_episode import BubbleEpisode, BubbleImage
from gpoa.envs.bubble_places import from_cells, to_cells
from gpoa.envs.bubble_prompts import BubblePromptsEnv
from gpoa.envs.rewards import make_compare
from gpoa.geometry import LOW_RES_SIDE, patch_centers, to_low_res_frame
from gpoa.types import PointPrompts

SIZE = (96, 128)
GRID = (12, 16)
OBJECTS, DECOYS = (3, 5), 2
RADIUS = (7, 12)
HORIZON = 8
OBJECT_PRIOR, DECOY_PRIOR, GROUND_PRIOR = (0.75, 0.95), (0.3, 0.45), 0.05
ATTEMPTS = 400


def make_bubble_toy(horizon: int = HORIZON, step_cost: float = 0.002, render_mode: str | None = None) -> gymnasium.Env:
    """`gpoa/BubblePromptsToy-v0`.

    Args:
        horizon: actions after which an episode ends.
        step_cost: subtracted for every action but STOP.
        render_mode: `rgb_array` or None.
    """
    return BubblePromptsEnv(lambda rng: toy_episode(rng, horizon), step_cost=step_cost, render_mode=render_mode)


def toy_episode(rng: np.random.Generator, horizon: int = HORIZON) -> BubbleEpisode:
    """A random image with its truth.

    Args:
        rng: draws the discs.
        horizon: actions after which an episode ends.
    """
    discs = _draw_discs(rng)  # [n, 3] x, y, radius; the last DECOYS are decoys
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    covered = (x - discs[:, 0, None, None]) ** 2 + (y - discs[:, 1, None, None]) ** 2 <= discs[:, 2, None, None] ** 2
    objects = len(discs) - DECOYS
    prior = np.full(SIZE, GROUND_PRIOR)
    for place, disc in enumerate(covered):
        prior[disc] = rng.uniform(*(OBJECT_PRIOR if place < objects else DECOY_PRIOR))
    prior = ndimage.gaussian_filter(prior, 1.0)
    start = PointPrompts(discs[[0, -1], :2].astype(np.float32), np.array([1, 1], dtype=np.int64))
    centres = patch_centers(GRID, SIZE[0] // GRID[0]).astype(np.int64)
    bright = prior[centres[:, 1], centres[:, 0]]
    image = BubbleImage(
        name="toy",
        original_size=SIZE,
        probability=to_low_res_frame(prior.astype(np.float32), SIZE, 0.0),
        tokens=np.stack([bright, np.sqrt(1 - bright**2)], axis=1).astype(np.float32),
        grid_size=GRID,
        start=start,
        picture=np.repeat((prior * 255).astype(np.uint8)[..., None], 3, axis=2),
    )
    frames = [to_low_res_frame(disc.astype(np.float32), SIZE, 0.0) > 0.5 for disc in covered]

    def decode(prompts: PointPrompts) -> tuple[np.ndarray, float]:
        column, row = prompts.point_coords.round().astype(np.int64).T
        signs = np.where(prompts.point_labels == 1, 1, -1)
        logits = np.full((LOW_RES_SIDE, LOW_RES_SIDE), -4.0, dtype=np.float32)
        for disc, frame in zip(covered, frames, strict=True):
            if signs[disc[row, column]].sum() > 0:
                logits[frame] = 4.0
        return logits, 0.8

    return BubbleEpisode(image, decode, horizon, make_compare("iou", covered[:objects].any(axis=0)))


def _draw_discs(rng: np.random.Generator) -> np.ndarray:
    """[n, 3] (x, y, radius) of discs that do not touch, their centres at centres of cells."""
    count = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1)) + DECOYS
    discs: list[tuple[float, float, float]] = []
    for _ in range(ATTEMPTS):
        radius = rng.uniform(*RADIUS)
        xy = rng.uniform([radius, radius], [SIZE[1] - radius, SIZE[0] - radius])
        x, y = from_cells(to_cells(xy[None], SIZE), SIZE)[0]
        if all(np.hypot(x - other[0], y - other[1]) > radius + other[2] + 4 for other in discs):
            discs.append((float(x), float(y), float(radius)))
        if len(discs) == count:
            break
    return np.array(discs)
