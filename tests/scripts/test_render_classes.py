"""Rendered training classes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gpoa.datasets.classes import load_classes

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "render_classes.py"


def _render(folder: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--output", str(folder), "--classes", "3", "--images", "2"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def test_classes_can_be_trained_on_and_are_the_same_every_time(tmp_path: Path):
    _render(tmp_path / "a")
    _render(tmp_path / "b")
    classes = load_classes(tmp_path / "a")
    assert [(one.name, len(one.samples)) for one in classes] == [(f"rendered_{n:03d}", 2) for n in range(3)]
    for one in classes:
        for sample in one.samples:
            mask = np.asarray(Image.open(sample.mask_path))
            assert set(np.unique(mask)) == {0, 255}
            twin = Path(str(sample.image_path).replace(str(tmp_path / "a"), str(tmp_path / "b")))
            np.testing.assert_array_equal(np.asarray(Image.open(sample.image_path)), np.asarray(Image.open(twin)))
