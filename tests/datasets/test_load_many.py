"""Classes of several data folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.datasets.classes import load_many
from gpoa.errors import DataError


def _class(root: Path, name: str) -> None:
    for kind in ("images", "masks"):
        (root / name / kind).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(root / name / kind / f"{number}.png")


def test_names_of_two_folders_stay_apart(tmp_path: Path) -> None:
    for root in ("one", "two"):
        _class(tmp_path / root, "cells/cat")
    _class(tmp_path / "two", "cells/dog")
    names = [one.name for one in load_many([tmp_path / "one", tmp_path / "two"])]
    assert names == ["one/cells/cat", "two/cells/cat", "cells/dog"]


def test_lists_choose(tmp_path: Path) -> None:
    for name in ("a/cat", "a/dog"):
        _class(tmp_path, name)
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a/dog"]}))
    assert [one.name for one in load_many([tmp_path], [tmp_path / "split.json"])] == ["a/dog"]
    with pytest.raises(DataError, match="1 data folders but 2 split files"):
        load_many([tmp_path], [tmp_path / "split.json"] * 2)
