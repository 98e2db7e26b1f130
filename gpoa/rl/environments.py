"""Environments on the user's own images, as `gymnasium.make` opens them (`gpoa.envs.registration` has their names).

    import gymnasium, gpoa.envs
    env = gymnasium.make("gpoa/BubblePrompts-v0", data="classes/")

`data` is a folder of classes (<class>/images and <class>/masks); images are encoded when the environment is made, from
the cache where they were encoded before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium

from gpoa.config import GpoaConfig, MatchingConfig, Sb3Config, TrainConfig
from gpoa.datasets.bubble_layout import is_bubble_layout, load_bubble_layout
from gpoa.datasets.classes import LabelledClass, load_classes
from gpoa.envs.bubble_prompts import BubbleDraw, BubblePromptsEnv, BubbleReward
from gpoa.envs.prompt_graph import EpisodeDraw, PromptGraphEnv
from gpoa.errors import ConfigError
from gpoa.pipeline.image import ImagePipeline
from gpoa.rl.bubble_episodes import BubbleEpisodes, draw_pairs, without_guard
from gpoa.rl.training import FolderEpisodes


def make_bubble_prompts(
    data: str | Path | None = None,
    draw: BubbleDraw | None = None,
    config: GpoaConfig | None = None,
    training: Sb3Config | None = None,
    render_mode: str | None = None,
) -> gymnasium.Env:
    """`gpoa/BubblePrompts-v0`.

    Args:
        data: a folder of classes, or one with `training/` and `testing/` (training is used).
        draw: gives the episodes instead of a folder.
        config: the pipeline's choices, with the prior as its matcher.
        training: pairs of a class, horizon, reward, cost.
        render_mode: `rgb_array` or None.

    Raises:
        ConfigError: neither `data` nor `draw` is given, or both.
        DataError: the folder holds no class, or no pair of images can be used.
    """
    settings = training or Sb3Config()
    if draw is None:
        pipeline = ImagePipeline(without_guard(config or GpoaConfig()))
        pairs = draw_pairs(_classes(data, "gpoa/BubblePrompts-v0", settings.images), settings.pairs, settings.seed)
        episodes = BubbleEpisodes(pipeline, pairs, settings)
        for _ in episodes.open():
            pass
        draw = episodes.draw
    elif data is not None:
        raise ConfigError("gpoa/BubblePrompts-v0: data and draw are both given; one of them is enough")
    return bubble_env(draw, settings, render_mode=render_mode)


def bubble_env(
    draw: BubbleDraw, settings: Sb3Config, margin: float = 0.0, render_mode: str | None = None
) -> BubblePromptsEnv:
    """The environment with the reward and the costs of a training run."""
    reward: BubbleReward = "expected" if settings.reward == "expected" else "truth"
    return BubblePromptsEnv(draw, reward, settings.step_cost, margin, render_mode)


def make_prompt_graph(
    data: str | Path | None = None,
    draw: EpisodeDraw | None = None,
    config: GpoaConfig | None = None,
    training: TrainConfig | None = None,
    **options: Any,
) -> gymnasium.Env:
    """`gpoa/PromptGraph-v0`.

    Args:
        data: a folder of classes.
        draw: gives the episodes instead of a folder.
        config: the pipeline's choices; default: the ridge classifier, which the graph agent goes with.
        training: pairs of a class, references of an episode.
        options: arguments of `PromptGraphEnv`: reward, step_cost, max_nodes, max_references, render_mode.

    Raises:
        ConfigError: neither `data` nor `draw` is given, or both.
        DataError: the folder holds no class, or no pair of images can be used.
    """
    if draw is None:
        settings = training or TrainConfig()
        pipeline = ImagePipeline(without_guard(config or GpoaConfig(matching=MatchingConfig(method="ridge"))))
        classes = _classes(data, "gpoa/PromptGraph-v0", settings.images)
        draw = FolderEpisodes(pipeline, classes, classes, settings).sample
    elif data is not None:
        raise ConfigError("gpoa/PromptGraph-v0: data and draw are both given; one of them is enough")
    return PromptGraphEnv(draw, **options)


def _classes(data: str | Path | None, name: str, limit: int) -> list[LabelledClass]:
    """The classes of a folder to train on."""
    if data is None:
        raise ConfigError(f'{name}: no images; gymnasium.make("{name}", data="classes/") with <class>/images and masks')
    folder = Path(data).expanduser()
    return load_bubble_layout(folder, limit)[0] if is_bubble_layout(folder) else load_classes(folder, limit=limit)
