"""Annotation files of other programs as masks: each kind, and what is wrong with a file in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpoa.datasets.importers.reading import is_annotation, mask_of_annotations, read_annotations, read_shapes
from gpoa.errors import MaskError

SIZE = (12, 20)
BOX = np.zeros(SIZE, dtype=bool)
BOX[3:7, 4:10] = True
# Of a picture with the box, by `brush.mask2rle` of label_studio_sdk 2.
RLE = [
    0, 0, 3, 192, 57, 27, 254, 255, 0, 194, 255, 248, 220, 3, 11, 255, 227, 112, 12, 47, 255, 141, 192, 48,
    191, 255, 1, 183, 0, 0,
]  # fmt: skip


def _coco(path: Path) -> Path:
    """Two images; the first has a cat (the box) and a dog (a slanted polygon)."""
    images = [{"id": 1, "file_name": "x/a.png", "height": 12, "width": 20},
              {"id": 2, "file_name": "b.png", "height": 12, "width": 20}]  # fmt: skip
    cat = {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[4, 3, 10, 3, 10, 7, 4, 7]], "iscrowd": 0}
    dog = {"id": 2, "image_id": 1, "category_id": 5, "segmentation": [[12, 8, 20, 8, 12, 12]], "iscrowd": 0}
    categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
    content = {"images": images, "annotations": [cat, dog], "categories": categories}
    path.write_text(json.dumps(content))
    return path


def _task(image: str, *regions: dict[str, Any], kind: str = "annotations", **more: object) -> dict[str, Any]:
    """A Label Studio task."""
    shared = {"original_width": 20, "original_height": 12, "from_name": "label", "to_name": "image"}
    return {"data": {"image": image}, kind: [{"result": [{**shared, **one} for one in regions], **more}]}


POLYGON = {"type": "polygonlabels", "value": {"points": [[20, 25], [50, 25], [50, 700 / 12], [20, 700 / 12]],
                                              "polygonlabels": ["cat"]}}  # fmt: skip
SQUARE = {"type": "rectanglelabels", "value": {"x": 20, "y": 25, "width": 30, "height": 400 / 12,
                                               "rectanglelabels": ["cat"]}}  # fmt: skip


def test_coco_by_class(tmp_path: Path) -> None:
    path = _coco(tmp_path / "annotations.json")
    assert np.array_equal(mask_of_annotations(path, "a.png", SIZE, "cat"), BOX)
    both = mask_of_annotations(path, "a.png", SIZE)
    assert both[BOX].all() and both[9, 13] and not both[11, 19]


def test_label_studio_takes_the_annotation_before_the_prediction(tmp_path: Path) -> None:
    """The upload's code before the name is no part of it."""
    task = _task("/data/upload/1/1f2e3d4c-a.png", POLYGON)
    task["predictions"] = [{"result": []}]
    (tmp_path / "tasks.json").write_text(json.dumps([task, _task("/data/upload/1/00-b.png")]))
    assert np.array_equal(mask_of_annotations(tmp_path / "tasks.json", "a.png", SIZE), BOX)


def test_label_studio_boxes_ellipses_and_brushes(tmp_path: Path) -> None:
    disc = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 25, "ellipselabels": ["o"]}
    ellipse = {"type": "ellipselabels", "value": disc}
    brush = {"type": "brushlabels", "format": "rle", "value": {"rle": RLE, "brushlabels": ["cat"]}}
    tasks = [_task("a.png", SQUARE), _task("b.png", ellipse), _task("c.png", brush)]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    assert np.array_equal(mask_of_annotations(tmp_path / "tasks.json", "a.png", SIZE), BOX)
    assert np.array_equal(mask_of_annotations(tmp_path / "tasks.json", "c.png", SIZE), BOX)
    round_one = mask_of_annotations(tmp_path / "tasks.json", "b.png", SIZE)
    y, x = np.mgrid[0:12, 0:20]
    assert np.array_equal(round_one, ((x + 0.5 - 10) / 4) ** 2 + ((y + 0.5 - 6) / 3) ** 2 < 1)


def test_yolo_knows_one_image(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 .2 .25 .5 .25 .5 .5833333 .2 .5833333\n\n2 .6 .6 .9 .6 .9 .9\n")
    assert np.array_equal(mask_of_annotations(tmp_path / "a.txt", "whatever.png", SIZE, "0"), BOX)
    (one,) = read_annotations(tmp_path / "a.txt")
    assert [shape.label for shape in read_shapes(tmp_path / "a.txt", one, SIZE)] == ["0", "2"]


def test_imagej_ovals_and_rectangles(tmp_path: Path) -> None:
    from roifile import ROI_TYPE, ImagejRoi, roiwrite

    roi = ImagejRoi()
    roi.roitype, roi.left, roi.top, roi.right, roi.bottom, roi.name = ROI_TYPE.RECT, 4, 3, 10, 7, "cell"
    roi.tofile(tmp_path / "one.roi")
    assert np.array_equal(mask_of_annotations(tmp_path / "one.roi", "a.png", SIZE, "cell"), BOX)
    line = ImagejRoi.frompoints([[1, 1], [3, 3]], name="line")
    line.roitype = ROI_TYPE.POLYLINE
    roiwrite(tmp_path / "all.zip", [line, roi])
    assert np.array_equal(mask_of_annotations(tmp_path / "all.zip", "a.png", SIZE), BOX)
    roiwrite(tmp_path / "line.zip", [line])
    with pytest.raises(MaskError, match="points or lines, which have no area"):
        mask_of_annotations(tmp_path / "line.zip", "a.png", SIZE)


def test_cvat_shapes(tmp_path: Path) -> None:
    shapes = ('<polygon label="cat" points="4,3;10,3;10,7;4,7"/>',
              '<box label="cat" xtl="4" ytl="3" xbr="10" ybr="7"/>',
              '<mask label="cat" rle="0, 24" left="4" top="3" width="6" height="4"/>')  # fmt: skip
    images = "".join(f'<image name="{n}.png" width="20" height="12">{one}</image>' for n, one in enumerate(shapes))
    (tmp_path / "a.xml").write_text(f"<annotations>{images}</annotations>")
    for number in range(3):
        assert np.array_equal(mask_of_annotations(tmp_path / "a.xml", f"{number}.png", SIZE, "cat"), BOX)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "no annotations of a known kind"),  # cut off
        ("a.json", '{"images": [{"id": 1}]}', "'annotations' is missing"),
        ("a.json", '{"version": "5.0", "shapes": []}', "no annotations of a known kind"),  # labelme
        ("a.json", "3", "no annotations of a known kind"),
        ("a.xml", "<annotations>", "no annotations of a known kind"),
        ("a.txt", "0 .5 .5 .2 .2", "line 1: a class and three or more points are expected"),  # a box
        ("a.txt", "cat .1 .1 .5 .1 .5 .5", "bad segmentation"),  # a name where a number is due
        ("a.txt", "", "no object in a.png; it has none"),
        ("a.zip", "text", "not ImageJ's ROIs"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MaskError, match=message) as caught:
        mask_of_annotations(tmp_path / name, "a.png", SIZE)
    assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)


def test_image_size_and_class_must_fit(tmp_path: Path) -> None:
    path = _coco(tmp_path / "c.json")
    with pytest.raises(MaskError, match=r"a.png is 20x12 there, but the image is 12x20 \(width x height\)"):
        mask_of_annotations(path, "a.png", (20, 12))
    with pytest.raises(MaskError, match="no object of the class 'cow' in a.png; it has cat, dog"):
        mask_of_annotations(path, "a.png", SIZE, "cow")
    with pytest.raises(MaskError, match="no image called z.png there; it has x/a.png, b.png"):
        mask_of_annotations(path, "z.png", SIZE)
    with pytest.raises(MaskError, match="no object in b.png; it has none"):
        mask_of_annotations(path, "b.png", SIZE)
    with pytest.raises(MaskError, match="no such file"):
        mask_of_annotations(tmp_path / "nothing.json", "a.png", SIZE)


def test_suffixes() -> None:
    assert is_annotation(Path("A.JSON")) and is_annotation(Path("a.zip")) and not is_annotation(Path("a.png"))

