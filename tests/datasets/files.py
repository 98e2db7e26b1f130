"""Files that the readers' tests write, and what they expect of an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.errors import GpoaError


def store(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    """Writes pixels with Pillow."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


def one_line(info: pytest.ExceptionInfo[GpoaError], path: Path) -> str:
    """The message, checked to be one line that names the path."""
    message = str(info.value)
    assert "\n" not in message
    assert str(path) in message
    return message
