"""COCO files and run lengths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpoa.datasets.coco import mask_to_rle, rle_to_mask, write_coco, write_coco_objects
from gpoa.datasets.options import CocoFile
from gpoa.datasets.polygons import polygons_to_mask


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
    assert (first["bbox"], first["area"], first["iscrowd"], first["category_id"]) == ([2, 1, 3, 2], 5, 0, 1)
    assert first["segmentation"] == [[2, 1, 5, 1, 5, 2, 4, 2, 4, 3, 2, 3]]
    assert (second["id"], second["image_id"], second["bbox"], second["area"]) == (2, 3, [0, 0, 3, 2], 6)
    assert content["categories"][0]["name"] == "polyp"


def test_write_coco_as_run_lengths(tmp_path: Path) -> None:
    """On request, and no crowd either."""
    mask = np.array([[0, 1, 0], [0, 1, 1]], bool)
    write_coco(CocoFile(tmp_path / "coco.json", "rle"), [("a.jpg", mask)])
    (annotation,) = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert annotation["segmentation"] == {"size": [2, 3], "counts": [2, 2, 1, 1]} and annotation["iscrowd"] == 0


SHAPES = {
    "hole": ["11111", "10001", "10101", "11111"],
    "part in a hole": ["11111", "10001", "10101", "10001", "11111"],
    "parts": ["1100011", "0000000", "0011100"],
    "pixel": ["000", "010", "000"],
    "full": ["111", "111"],
    "border": ["100001", "000000", "110011"],
    "corners": ["101", "010", "101"],  # pixels that touch at their corners
    "hole open at a corner": ["0111", "1101", "1011", "1111"],
    "two holes": ["1111111", "1011101", "1111111"],
    "holes above each other": ["111", "101", "111", "101", "111"],
}


@pytest.mark.parametrize("segmentation", ["polygon", "rle"])
@pytest.mark.parametrize("shape", SHAPES)
def test_coco_is_read_by_pycocotools(tmp_path: Path, shape: str, segmentation: str) -> None:
    """The reference reader decodes our masks, counts our area, and finds them among the objects that are no crowd."""
    coco = pytest.importorskip("pycocotools.coco")
    mask = np.array([[character == "1" for character in row] for row in SHAPES[shape]])
    write_coco(CocoFile(tmp_path / "coco.json", segmentation), [("a.jpg", mask), ("empty.jpg", ~mask & mask)])
    reader = coco.COCO(str(tmp_path / "coco.json"))
    (annotation,) = reader.loadAnns(reader.getAnnIds(iscrowd=False))
    assert (reader.annToMask(annotation) == mask).all()
    assert annotation["area"] == mask.sum()


def test_coco_evaluation_counts_our_masks(tmp_path: Path) -> None:
    """COCO's own evaluation of our file against itself: everything is found (crowd regions would not count)."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    mask = np.zeros((40, 50), bool)
    mask[5:30, 8:40] = True
    mask[10:20, 15:25] = False
    write_coco(tmp_path / "coco.json", [("a.jpg", mask)])
    truth = coco.COCO(str(tmp_path / "coco.json"))
    found = truth.loadRes([{**truth.loadAnns([1])[0], "score": 0.9}])
    run = evaluation.COCOeval(truth, found, "segm")
    run.evaluate()
    run.accumulate()
    run.summarize()
    assert run.stats[0] > 0.999


def test_what_pycocotools_writes_is_read(tmp_path: Path) -> None:
    """The other way round: its run lengths of our polygons are our run lengths."""
    coding = pytest.importorskip("pycocotools.mask")
    mask = np.random.default_rng(0).random((17, 23)) < 0.6
    write_coco(tmp_path / "coco.json", [("a.jpg", mask)])
    (annotation,) = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    theirs = coding.merge(coding.frPyObjects(annotation["segmentation"], 17, 23))
    assert coding.area(theirs) == annotation["area"]
    assert (polygons_to_mask(annotation["segmentation"], (17, 23)) == coding.decode(theirs).astype(bool)).all()


@pytest.mark.parametrize("kind", ["polygon", "rle"])
def test_every_object_is_an_annotation(tmp_path: Path, kind: str) -> None:
    labels = np.zeros((6, 9), dtype=np.uint16)
    labels[1:3, 1:4], labels[:, 6:8] = 1, 2  # the second fills whole columns
    labels[2, 2] = 0
    write_coco_objects(CocoFile(tmp_path / "a.json", kind), [("a.png", labels, [0.5, 0.25])])
    content = json.loads((tmp_path / "a.json").read_text())
    assert [one["score"] for one in content["annotations"]] == [0.5, 0.25]
    assert [one["bbox"] for one in content["annotations"]] == [[1, 1, 3, 2], [6, 0, 2, 6]]
    for number, one in enumerate(content["annotations"], start=1):
        drawn = one["segmentation"]
        mask = rle_to_mask(drawn) if kind == "rle" else polygons_to_mask(drawn, labels.shape)
        assert (mask == (labels == number)).all() and one["area"] == (labels == number).sum()
