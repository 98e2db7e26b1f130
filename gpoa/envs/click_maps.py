"""What a learned click agent sees of a state: maps on SAM's 64 x 64 grid that speak of relations only, so that what was
learned on some classes holds for others.

Nothing in them depends on what the object is: how sure the prior is, what SAM's four masks say, how alike SAM's
embedding is to the clicked places and to the mask's inside, and where the clicks are.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gpoa.envs.click_episode import ClickEpisode, ClickState, cells_of, inside_frame

SIDE = 64
STEP = 4
"""Cells of SAM's low-resolution frame a side of a map's cell."""
MAPS = (
    "prior logit", "prior known", "mask logit", "mask", "output 0", "output 1", "output 2", "output 3", "outputs' mean",
    "outputs' spread", "like positive clicks", "like negative clicks", "like the inside", "near positive clicks",
    "near negative clicks", "prior against mask", "border distance", "inside the image", "SAM's IoU", "clicks",
    "expected IoU", "area",
)  # fmt: skip
"""Names of the maps, in order."""
PRIOR_MAPS = tuple(MAPS.index(name) for name in ("prior logit", "prior known", "prior against mask", "expected IoU"))
"""Those that are 0 without a prior."""
NEAR = 6.0
"""Cells over which a click's map falls to 1/e."""
BORDER = 8.0
"""Likewise for the signed distance to the mask's border."""


def click_maps(episode: ClickEpisode, state: ClickState) -> np.ndarray:
    """The maps of a state.

    Args:
        episode: its embedding and, where there is one, its prior.
        state: mask, SAM's four masks, and clicks.

    Returns:
        [22, 64, 64] float32, about in [-2, 2].
    """
    mask = blocks(state.mask)
    outputs = np.zeros((4, SIDE, SIDE)) if state.outputs is None else np.stack([blocks(_p(o)) for o in state.outputs])
    prior = np.zeros((SIDE, SIDE)) if episode.prior is None else np.clip(blocks(episode.prior) / 5, -2, 2)
    known = episode.prior is not None
    likely = _p(5 * prior)
    shared = float((likely * mask).sum())
    expected = shared / max(float((likely + mask).sum()) - shared, 1e-6) if known else 0.0
    inside = blocks(inside_frame(episode.size))
    parts = [
        prior,
        np.full_like(mask, known),
        np.clip(blocks(state.logits) / 5, -2, 2),
        mask,
        *outputs,
        outputs.mean(axis=0) - mask,
        2 * outputs.std(axis=0),
        *_alike(episode, state, mask),
        *(_near(episode, state, label) for label in (1, 0)),
        (likely - mask) * known,
        np.tanh(_border(mask > 0.5) / BORDER),
        inside,
        *(np.full_like(mask, value) for value in (state.iou, len(state.clicks) / 5, expected)),
        np.full_like(mask, np.log10(max(float(mask.mean()), 1e-4)) / 4 + 1),
    ]
    return np.stack(parts).astype(np.float32)


def blocks(values: np.ndarray) -> np.ndarray:
    """Means of a map [256, 256] over the cells of the 64 x 64 grid: [64, 64] float32."""
    return np.asarray(values, dtype=np.float32).reshape(SIDE, STEP, SIDE, STEP).mean(axis=(1, 3))


def grid_cells(episode: ClickEpisode, state: ClickState, label: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) on the 64 x 64 grid of the clicks of one label."""
    chosen = tuple(click for click in state.clicks if click.label == label)
    rows, columns = cells_of(chosen, episode.size)
    return rows // STEP, columns // STEP


def _alike(episode: ClickEpisode, state: ClickState, mask: np.ndarray) -> list[np.ndarray]:
    """Cosines of SAM's embedding to the clicked places of each label, and to the mask's inside minus its outside."""
    features = episode.embedding.features[0].float().cpu().numpy().reshape(256, -1)
    tokens = features / np.maximum(np.linalg.norm(features, axis=0), 1e-6)  # [256, 4096]
    found = []
    for label in (1, 0):
        rows, columns = grid_cells(episode, state, label)
        places = rows * SIDE + columns
        cosines = (tokens[:, places].T @ tokens).max(axis=0) if len(places) else np.zeros(SIDE * SIDE)
        found.append(cosines.reshape(SIDE, SIDE))
    beside = (1 - mask) * blocks(inside_frame(episode.size))
    inside, outside = (tokens @ weight.reshape(-1) for weight in (mask, beside))
    means = [mean / max(float(np.linalg.norm(mean)), 1e-6) for mean in (inside, outside)]
    found.append(((means[0] - means[1]) @ tokens).reshape(SIDE, SIDE))
    return found


def _near(episode: ClickEpisode, state: ClickState, label: int) -> np.ndarray:
    """How near the nearest click of a label is, in [0, 1]."""
    rows, columns = grid_cells(episode, state, label)
    if not len(rows):
        return np.zeros((SIDE, SIDE))
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    gaps = np.hypot(y[..., None] - rows, x[..., None] - columns).min(axis=-1)
    return np.exp(-gaps / NEAR)


def _border(mask: np.ndarray) -> np.ndarray:
    """Distance in cells to the mask's border, positive inside; far outside where there is no mask."""
    if not mask.any():
        return np.full(mask.shape, -SIDE, dtype=np.float64)
    return ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)


def _p(logits: np.ndarray) -> np.ndarray:
    """Logits as probabilities."""
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
