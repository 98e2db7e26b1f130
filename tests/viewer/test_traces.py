"""Pictures of what was tried."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from gpoa.types import PointPrompts
from gpoa.viewer.traces import CAPTION_HEIGHT, FRAME_SIDE, OFF_COLOR, Step, draw_steps, trace_gif, trace_sheet


def _steps() -> list[Step]:
    both = PointPrompts(np.array([[40.0, 20.0], [80.0, 40.0]], np.float32), np.array([1, 0]))
    one = PointPrompts(np.array([[40.0, 20.0]], np.float32), np.array([1]))
    mask = np.zeros((60, 120), dtype=bool)
    mask[10:30, 20:60] = True
    return [Step("start", both, mask, 0.5, False), Step("1 negatives", one, mask, 0.7, True)]


def test_frames_have_one_size_and_mark_what_is_off():
    frames = draw_steps(np.full((60, 120, 3), 200, np.uint8), _steps())
    assert [frame.size for frame in frames] == [(FRAME_SIDE, FRAME_SIDE // 2 + CAPTION_HEIGHT)] * 2
    grey = [(np.abs(np.asarray(frame)[:240].astype(int) - OFF_COLOR).max(axis=-1) < 8).sum() for frame in frames]
    assert grey[0] == 0 < grey[1]


def test_animation_and_sheet():
    frames = draw_steps(np.full((60, 120, 3), 200, np.uint8), _steps())
    with Image.open(io.BytesIO(trace_gif(frames))) as animation:
        assert animation.n_frames == 2
    assert trace_sheet(frames).width > 2 * FRAME_SIDE * 2 // 3
