"""An agent clicks on one image: from a person's first click, or from what one reference says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpoa.envs.click_episode import Click, ClickEpisode, prior_frame
from gpoa.errors import ConfigError, PromptError
from gpoa.pipeline.image import ImagePipeline
from gpoa.search.click_agents import ClickAgent, PriorAgent, RandomAgent, SamAgent, run_agent
from gpoa.search.click_suggest import first_guess, suggest_clicks
from gpoa.segmenters.base import upscale_logits
from gpoa.types import PointPrompts
from gpoa.viewer.traces import Step

AGENTS = ("prior", "sam", "random")
"""Agents without a file."""


@dataclass(frozen=True, eq=False)
class ClickedImage:
    """What became of one image.

    Args:
        clicks: of the mask that was kept, in order.
        masks: [H, W] bool, the mask that was kept after each decoder call; the last is the result.
        steps: what was tried, for the picture.
    """

    clicks: tuple[Click, ...]
    masks: list[np.ndarray]
    steps: list[Step]


def make_agent(name: str, seed: int = 0) -> ClickAgent:
    """An agent by its name.

    Args:
        name: one of `AGENTS`, or a file that `gpoa train clicks` wrote.
        seed: of the random one.

    Raises:
        ConfigError: there is no such agent.
        ModelError: the file cannot be used.
    """
    if name == "prior":
        return PriorAgent()
    if name == "sam":
        return SamAgent()
    if name == "random":
        return RandomAgent(np.random.default_rng(seed))
    path = Path(name).expanduser()
    if path.is_dir():
        path = path / "agent.pt"
    if not path.is_file():
        raise ConfigError(f"--agent {name}: no such agent; take {', '.join(AGENTS)}, or a file of `gpoa train clicks`")
    from gpoa.search.click_learned import load_agent

    return load_agent(path)


def click_image(
    pipeline: ImagePipeline,
    image: np.ndarray,
    agent: ClickAgent,
    clicks: int,
    first: Click | None = None,
    semantic: Callable[[np.ndarray], np.ndarray] | None = None,
) -> ClickedImage:
    """Lets an agent click on an image.

    Args:
        pipeline: the models; where it is fitted, its reference says where the object is likely.
        image: [H, W, 3] uint8 RGB.
        agent: see `make_agent`.
        clicks: decoder calls in all, the first click's included.
        first: a person's click; None begins where the prior is surest, or, without a reference, where SAM is.
        semantic: image -> [h, w] probabilities, in place of the reference's (`gpoa.features.text_map`).

    Raises:
        PromptError: the first click is outside the image.
    """
    size = (image.shape[0], image.shape[1])
    if first is not None and not (0 <= first.x <= size[1] - 1 and 0 <= first.y <= size[0] - 1):
        raise PromptError(f"first click {first.x:g},{first.y:g}: outside the image of {size[1]} x {size[0]} pixels")
    prior = None
    if semantic is not None:
        prior = prior_frame(semantic(image), size)
    elif pipeline.is_fitted:
        prior = prior_frame(pipeline.prompter.score_map(image), size)
    embedding = pipeline.backbones.embedding(image)
    episode = ClickEpisode(pipeline.backbones.segmenter, embedding, prior, prior if first is None else None)
    start = episode.click(episode.begin(), first or _first_click(episode))
    result = run_agent(agent, episode, start, clicks - 1)
    masks = [upscale_logits(state.logits, embedding.input_size, size) > 0 for state in result.visited]
    steps = [
        Step(_name(state.clicks[-1]), _points(state.clicks), mask, state.iou, place == result.kept[-1])
        for place, (state, mask) in enumerate(zip(result.visited, masks, strict=True))
        if place in result.kept or state.clicks != result.visited[place - 1].clicks
    ]
    return ClickedImage(result.best.clicks, [masks[place] for place in result.kept], steps)


def _first_click(episode: ClickEpisode) -> Click:
    """Where to begin without a person."""
    if episode.prior is None:
        return first_guess(episode)
    likely = 1 / (1 + np.exp(-episode.prior))
    empty = ClickEpisode(episode.segmenter, episode.embedding).begin()
    found = suggest_clicks(likely, empty, episode.size)
    return found[0].click if found else first_guess(episode)


def _points(clicks: tuple[Click, ...]) -> PointPrompts:
    """Clicks as prompts, for the picture."""
    xy = np.array([(click.x, click.y) for click in clicks], dtype=np.float32)
    return PointPrompts(xy, np.array([click.label for click in clicks], dtype=np.int64))


def _name(click: Click) -> str:
    """A click in words."""
    return f"{'+' if click.label == 1 else '-'} ({click.x:g}, {click.y:g})"
