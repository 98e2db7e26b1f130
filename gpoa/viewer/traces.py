"""What an optimiser did to one image: points appearing and disappearing, the mask and the score of each step."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gpoa.types import PointPrompts
from gpoa.viewer.overlays import Tile, contact_sheet, draw_overlay

FRAME_SIDE = 480
CAPTION_HEIGHT = 26
STEP_MILLISECONDS = 900
LAST_MILLISECONDS = 2500
OFF_COLOR = (150, 150, 150)


class Step(NamedTuple):
    """One prompt set that was tried.

    Args:
        name: what was done to get it.
        prompts: the set.
        mask: [H, W] bool.
        score: what the judge or the quality head expects, in [0, 1].
        chosen: this one was handed out.
    """

    name: str
    prompts: PointPrompts
    mask: np.ndarray
    score: float
    chosen: bool


def draw_steps(image: np.ndarray, steps: Sequence[Step]) -> list[Image.Image]:
    """One captioned picture a step, all of one size.

    Args:
        image: [H, W, 3] uint8 RGB.
        steps: at least one; points that some step has and this one lacks are drawn as grey rings.
    """
    everything = np.unique(np.concatenate([step.prompts.point_coords for step in steps]), axis=0)
    frames = []
    for number, step in enumerate(steps):
        picture = draw_overlay(image, step.mask, step.prompts)
        _draw_missing(picture, everything, step.prompts, image.shape[1])
        scale = FRAME_SIDE / max(picture.size)
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
        mark = "  = handed out" if step.chosen else ""
        frames.append(_captioned(picture, f"{number}  {step.name}  {step.score:.2f}{mark}"))
    return frames


def trace_gif(frames: Sequence[Image.Image]) -> bytes:
    """The frames as an animated GIF that stands still a while at its end."""
    content = io.BytesIO()
    times = [STEP_MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    frames[0].save(content, format="GIF", save_all=True, append_images=list(frames[1:]), duration=times, loop=0)
    return content.getvalue()


def trace_sheet(frames: Sequence[Image.Image]) -> Image.Image:
    """The frames side by side, for print."""
    return contact_sheet([Tile(frame, "") for frame in frames], columns=4, cell=FRAME_SIDE * 2 // 3)


def _draw_missing(picture: Image.Image, everything: np.ndarray, prompts: PointPrompts, width: int) -> None:
    """Grey rings where a point is off."""
    present = {tuple(xy) for xy in prompts.point_coords.tolist()}
    draw, scale = ImageDraw.Draw(picture), picture.width / width
    radius = max(2, round(max(picture.size) / 160))
    for x, y in everything.tolist():
        if (x, y) not in present:
            x, y = (x + 0.5) * scale, (y + 0.5) * scale
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), None, OFF_COLOR, max(1, radius // 2))


def _captioned(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text below."""
    frame = Image.new("RGB", (picture.width, picture.height + CAPTION_HEIGHT), "white")
    frame.paste(picture, (0, 0))
    font = ImageFont.load_default(size=14)
    ImageDraw.Draw(frame).text((6, picture.height + 4), text, "black", font)
    return frame
