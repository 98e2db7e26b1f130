"""The renderer of many objects: labels fit the picture, seeds repeat, train and test differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.render_instances import KINDS, draw_look, main, render


@pytest.mark.parametrize("kind", list(KINDS))
def test_objects_are_seen_and_numbered(kind: str) -> None:
    look = draw_look(kind, np.random.default_rng(1))
    scene = render(kind, look, (128, 160), np.random.default_rng(2))
    again = render(kind, look, (128, 160), np.random.default_rng(2))
    assert (scene.image == again.image).all() and (scene.labels == again.labels).all()
    assert np.unique(scene.labels).tolist() == list(range(int(scene.labels.max()) + 1)) and scene.labels.max() >= 3
    inside, outside = (scene.image[part].astype(float).mean() for part in (scene.labels > 0, scene.labels == 0))
    assert abs(inside - outside) > 8


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ["--output", str(tmp_path), "--kinds", "cells", "--train", "1", "--test", "1", "--size", "96x128"]
    assert main(flags) == 0
    parts = [np.asarray(Image.open(tmp_path / part / "cells" / "labels" / "000.png")) for part in ("train", "test")]
    assert parts[0].shape == (96, 128) and (parts[0] != parts[1]).any()
    mask = np.asarray(Image.open(tmp_path / "train" / "cells" / "masks" / "000.png"))
    assert ((mask > 0) == (parts[0] > 0)).all()
    with pytest.raises(SystemExit):
        main(["--size", "3x3"])
