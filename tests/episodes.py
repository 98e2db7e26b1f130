"""Small episodes with a stand-in for SAM, for the tests of everything around the agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from gpoa.config import GraphConfig
from gpoa.envs.episode import PromptEpisode
from gpoa.envs.rewards import make_compare
from gpoa.geometry import patch_centers_original
from gpoa.graph.nodes import PromptNodes, PromptSource, build_nodes
from gpoa.matching.candidates import to_mask_prompt
from gpoa.matching.reference import Reference
from gpoa.matching.relational_maps import TargetView
from gpoa.types import MaskPrediction, PatchFeatures, PointPrompts, ScoreMap

GRID = (8, 8)
SIZE = (96, 128)
CONFIG = GraphConfig(levels=(-0.5, 0.0, 0.5), horizon=4, single_points=True)


def make_features(seed: int = 0) -> PatchFeatures:
    """Tokens of two kinds: a 4 x 4 object in the middle, and the rest."""
    rng = np.random.default_rng(seed)
    inside = np.zeros(GRID, dtype=bool)
    inside[2:6, 2:6] = True
    tokens = np.where(inside.reshape(-1, 1), [[1.0, 0, 0, 0]], [[0, 1.0, 0, 0]]) + rng.normal(0, 0.1, (64, 4))
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    return PatchFeatures(tokens.astype(np.float32), GRID, 14, (112, 112), SIZE)


def make_score_map() -> ScoreMap:
    """Highest in the middle of the object, with a slope, so that thresholds differ."""
    y, x = np.mgrid[0:8, 0:8] - 3.5
    return ScoreMap((3 - np.maximum(abs(y), abs(x))).astype(np.float32), threshold=1.0, scale=1.0)


def make_prompts(features: PatchFeatures, dense: bool = True) -> PointPrompts:
    """Three positives in the object, three negatives around it."""
    patches = np.array([27, 36, 20, 0, 7, 56])
    return PointPrompts(
        point_coords=patch_centers_original(features)[patches].round(3),
        point_labels=np.array([1, 1, 1, 0, 0, 0]),
        mask_prompt=to_mask_prompt(make_score_map(), SIZE, 4.0) if dense else None,
    )


def make_folder_source() -> PromptSource:
    """What the other images say: the object is one patch larger, and lies further left."""
    values = np.roll(make_score_map().values, -1, axis=1) + 1
    return PromptSource(
        replace(make_prompts(make_features()), mask_prompt=None), replace(make_score_map(), values=values)
    )


def make_nodes(config: GraphConfig = CONFIG, dense: bool = True, folder: bool = False) -> PromptNodes:
    """The nodes of the image."""
    own = PromptSource(make_prompts(make_features(), dense), make_score_map())
    return build_nodes(own, config, 4.0, SIZE, make_folder_source() if folder else None)


def decode(sets: Sequence[PointPrompts]) -> MaskPrediction:
    """The dense prompt, or discs around the positives, cut at the negatives; outputs 1 to 3 are larger, smaller,
    inverse."""
    y, x = np.mgrid[0:256, 0:256]
    masks = []
    for prompts in sets:
        logits = np.full((256, 256), -4.0) if prompts.mask_prompt is None else prompts.mask_prompt.astype(np.float64)
        for (px, py), label in zip(prompts.point_coords * 2, prompts.point_labels, strict=True):
            logits[(x - px) ** 2 + (y - py) ** 2 < 300] = 4.0 if label else -4.0
        if prompts.box is not None:
            x0, y0, x1, y1 = prompts.box * 2
            logits[(x < x0) | (x >= x1) | (y < y0) | (y >= y1)] = -4.0
        masks.append(np.stack([logits, logits + 2, logits - 2, -logits]))
    ious = np.tile(np.array([0.8, 0.7, 0.6, 0.1], dtype=np.float32), (len(sets), 1))
    return MaskPrediction(np.stack(masks).astype(np.float32), ious)


def make_truth(margin: int = 0) -> np.ndarray:
    """[96, 128] bool: the object, `margin` patches larger on every side."""
    truth = np.zeros(SIZE, dtype=bool)
    truth[(2 - margin) * 12 : (6 + margin) * 12, (2 - margin) * 16 : (6 + margin) * 16] = True
    return truth


def make_episode(
    truth: np.ndarray | None = None,
    config: GraphConfig = CONFIG,
    answer: Callable[[Sequence[PointPrompts]], MaskPrediction] = decode,
    reward: str = "iou",
    folder: bool = False,
) -> PromptEpisode:
    """An episode; with `truth` as in training, without as at inference."""
    features = make_features()
    known = np.zeros(GRID, dtype=np.float32)
    known[2:6, 2:6] = 1
    other = Reference(make_features(3).tokens, known.reshape(-1))
    reference = Reference(make_features(1).tokens, known.reshape(-1))
    folder_map = make_folder_source().score_map if folder else None
    view = TargetView(reference, features, make_score_map(), other, make_features(2).tokens, folder_map)
    compare = None if truth is None else make_compare(reward, truth)
    return PromptEpisode(
        "test", make_nodes(config, folder=folder), view, answer, config.horizon, config.single_points, compare
    )
