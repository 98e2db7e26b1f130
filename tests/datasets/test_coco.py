"""COCO files and run lengths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpoa.datasets.coco import mask_to_rle, rle_to_mask, write_coco


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        ([[0, 0, 0], [0, 0, 0]], [6]),  # empty
        ([[1, 1, 1], [1, 1, 1]], [0, 6]),  # full: no background first
        ([[0, 1, 0], [0, 1, 1]], [2, 2, 1, 1]),  # down the columns: 00 11 01
        ([[1, 0, 0], [0, 0, 0]], [0, 1, 5]),
    ],
)
def test_rle_literal(mask: list, counts: list[int]) -> None:
    """Column-major, background first."""
    rle = mask_to_rle(np.array(mask, dtype=bool))
    assert rle == {"size": [2, 3], "counts": counts}
    assert rle_to_mask(rle).tolist() == np.array(mask, dtype=bool).tolist()


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_rle_round_trip(mask: np.ndarray) -> None:
    """Decoding undoes encoding, also after JSON."""
    rle = json.loads(json.dumps(mask_to_rle(mask)))
    assert (rle_to_mask(rle) == mask).all()
    assert sum(rle["counts"][1::2]) == mask.sum()


@pytest.mark.parametrize("counts", [[5], [3, -1, 4], "abc"])
def test_bad_rle(counts: object) -> None:
    """Too short, negative, compressed."""
    with pytest.raises(ValueError, match="counts:"):
        rle_to_mask({"size": [2, 3], "counts": counts})


def test_rle_refuses_other_arrays() -> None:
    """0/255 would be taken for labels."""
    with pytest.raises(ValueError, match="bool"):
        mask_to_rle(np.zeros((2, 3)))


def test_write_coco(tmp_path: Path) -> None:
    """One annotation an image with foreground, none for an empty mask; the same bytes twice."""
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:5] = True
    mask[2, 4] = False
    entries = [("a b.jpg", mask), ("ä.jpg", np.zeros((2, 3), bool)), ("c.jpg", np.ones((2, 3), bool))]
    write_coco(tmp_path / "x" / "coco.json", iter(entries), category="polyp")
    write_coco(tmp_path / "again.json", entries, category="polyp")
    assert (tmp_path / "x" / "coco.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    content = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
    assert [(i["id"], i["file_name"], i["height"], i["width"]) for i in content["images"]] == [
        (1, "a b.jpg", 4, 5),
        (2, "ä.jpg", 2, 3),
        (3, "c.jpg", 2, 3),
    ]
    first, second = content["annotations"]
    assert (first["bbox"], first["area"], first["iscrowd"], first["category_id"]) == ([2, 1, 3, 2], 5, 1, 1)
    assert (rle_to_mask(first["segmentation"]) == mask).all()
    assert (second["id"], second["image_id"], second["bbox"], second["area"]) == (2, 3, [0, 0, 3, 2], 6)
    assert content["categories"][0]["name"] == "polyp"


def test_coco_is_read_by_pycocotools(tmp_path: Path) -> None:
    """The reference reader decodes our masks, where it is installed."""
    coco = pytest.importorskip("pycocotools.coco")
    mask = np.random.default_rng(0).random((7, 9)) < 0.4
    write_coco(tmp_path / "coco.json", [("a.jpg", mask)])
    reader = coco.COCO(str(tmp_path / "coco.json"))
    assert (reader.annToMask(reader.loadAnns([1])[0]) == mask).all()
