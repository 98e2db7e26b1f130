"""Makes the click environment out of folders of classes: models, scenes, and the environment around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpoa.config import GpoaConfig
from gpoa.config.clicks import ClickEnvConfig
from gpoa.datasets.classes import load_many
from gpoa.envs.click_env import ClickSegmentEnv
from gpoa.envs.click_scene import ClickScene
from gpoa.errors import ConfigError
from gpoa.pipeline.image import ImagePipeline
from gpoa.rl.click_scenes import load_scenes
from gpoa.segmenters.base import Segmenter


def make_click_segment(
    data: str | Path | None = None,
    scenes: Sequence[ClickScene] | None = None,
    segmenter: Segmenter | None = None,
    images: int = 4,
    render_mode: str | None = None,
    **options: object,
) -> ClickSegmentEnv:
    """`gpoa/ClickSegment-v0`.

    Args:
        data: a folder of `<class>/images` and `<class>/masks`; the first image of each class is the prior's reference.
        scenes: instead, what `gpoa.rl.click_scenes.load_scenes` gave, with
        segmenter: the one that they were made with. Several environments may share both.
        images: of a class, at most, the reference included.
        render_mode: None or rgb_array.
        options: of `ClickEnvConfig`.

    Raises:
        ConfigError: neither `data` nor `scenes` with `segmenter` is given.
        DataError: the folder holds no class.
    """
    if data is not None:
        pipeline = ImagePipeline(GpoaConfig())
        scenes = list(load_scenes(pipeline, load_many([Path(data)], limit=images)))
        segmenter = pipeline.backbones.segmenter
    if scenes is None or segmenter is None:
        raise ConfigError("gpoa/ClickSegment-v0: give data= (a folder of classes), or scenes= and segmenter=")
    return ClickSegmentEnv(scenes, segmenter, ClickEnvConfig(**options), render_mode)  # type: ignore[arg-type]
