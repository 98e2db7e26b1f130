"""Which objects a mask file tells apart, and COCO files as ground truth."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpoa.datasets.coco import mask_to_rle, write_coco
from gpoa.datasets.mask_io import save_mask
from gpoa.errors import DataError, MaskError, ModelError
from gpoa.evaluation.mask_files import MaskSource, find_masks

RAMP = [[0, 40, 90, 140, 190, 255, 255, 255], [0, 20, 60, 100, 120, 200, 220, 240], [0, 10, 30, 50, 70, 80, 150, 160]]


def read(path: Path, picture: Image.Image, **options: Any):
    """The content of a picture after it was saved."""
    picture.save(path, **options)
    return MaskSource("a", path).read()


@pytest.mark.parametrize(
    ("values", "dtype", "labels"),
    [
        ([[0, 1, 2]], np.uint8, [[0, 1, 2]]),
        ([[0, 7, 7]], np.uint8, None),  # one label
        ([[0, 0, 0]], np.uint8, None),  # nothing
        ([[0, 255, 255]], np.uint8, None),  # binary
        ([[1, 2, 2]], np.uint8, [[1, 2, 2]]),  # no background at all
        ([[0, 1, 300]], np.uint16, [[0, 1, 300]]),
        ([[0, 65535, 65535]], np.uint16, None),
        ([[0, 1, 1, 2, 2, 255]], np.uint8, [[0, 1, 1, 2, 2, 0]]),  # 255 beside numbers is void
        (RAMP, np.uint8, None),  # anti-aliasing: dark grey is background
        ([[0, 1.5, 2]], np.float32, None),  # no numbers of objects
    ],
)
def test_labels_of_pictures(tmp_path: Path, values: list, dtype: type, labels: list | None) -> None:
    """Several values in the foreground are labels, unless they are shades."""
    suffix = "tif" if dtype == np.float32 else "png"
    content = read(tmp_path / f"a.{suffix}", Image.fromarray(np.array(values, dtype)))
    assert (None if content.labels is None else content.labels.tolist()) == labels
    assert content.n_labels == (len(set(np.array(labels).ravel()) - {0}) if labels else int(content.mask.any()))


def test_palette_and_colours(tmp_path: Path) -> None:
    """Indices count, 255 is void; of an RGB picture every colour is a label."""
    palette = Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [7, 8, 9] * 253)
    assert read(tmp_path / "p.png", palette).labels.tolist() == [[0, 1, 2, 0]]
    colours = Image.fromarray(np.array([[[0, 0, 0], [200, 0, 0], [0, 200, 0], [200, 0, 0]]], np.uint8))
    content = read(tmp_path / "c.png", colours)
    assert content.n_labels == 2 and content.labels[0, 1] == content.labels[0, 3] != content.labels[0, 2]


def test_jpeg_has_no_labels(tmp_path: Path) -> None:
    """Its values are not kept."""
    picture = Image.fromarray(np.repeat(np.array([[0, 90, 200]], np.uint8), 16, axis=1).repeat(16, axis=0))
    assert read(tmp_path / "a.jpg", picture).labels is None


def test_objects(tmp_path: Path) -> None:
    """As numbered, or connected components; a binary mask is one object or its components."""
    content = read(tmp_path / "a.png", Image.fromarray(np.array([[1, 2, 0, 2]], np.uint8)))
    assert content.objects(True).tolist() == [[1, 2, 0, 2]]
    assert content.objects(False).tolist() == [[1, 1, 0, 2]]
    save_mask(tmp_path / "b.png", np.array([[1, 0, 1]], bool))
    binary = MaskSource("b", tmp_path / "b.png").read()
    assert binary.objects(True).tolist() == [[1, 0, 1]]
    assert binary.objects(False).tolist() == [[1, 0, 2]]


def coco(path: Path, annotations: list[dict], **changes: Any) -> list[MaskSource]:
    """The sources of a COCO file with one image of 4 x 6."""
    image = {"id": 1, "file_name": "a.jpg", "height": 4, "width": 6}
    path.write_text(json.dumps({"images": [image], "annotations": annotations, **changes}))
    return find_masks(path, coco=True)


def test_coco_kinds_of_segmentation(tmp_path: Path) -> None:
    """A polygon, compressed and uncompressed runs give the same pixels."""
    from pycocotools import mask as coding

    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    compressed = coding.encode(np.asfortranarray(mask, dtype=np.uint8))
    compressed["counts"] = compressed["counts"].decode()
    for segmentation in ([[2, 1, 5, 1, 5, 3, 2, 3]], mask_to_rle(mask), compressed):
        (source,) = coco(tmp_path / "a.json", [{"image_id": 1, "segmentation": segmentation}])
        content = source.read()
        assert (source.stem, content.n_labels) == ("a", 1)
        assert np.array_equal(content.mask, mask)
        (found,) = content.objects(True)
        assert np.array_equal(found, mask)


def test_our_own_coco_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gpoa run --coco` writes one object an image, which is read without pycocotools, also after a byte-order mark."""
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    mask = np.array([[1, 0, 1]], bool)
    write_coco(tmp_path / "a.json", [("x.png", mask), ("empty.png", ~mask & mask)])
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.json").read_bytes())
    sources = {source.stem: source.read() for source in find_masks(tmp_path / "a.json", coco=True)}
    assert np.array_equal(sources["x"].mask, mask) and not sources["empty"].mask.any()
    assert (sources["x"].n_labels, sources["x"].objects(False).tolist()) == (1, [[1, 0, 2]])
    assert sources["x"].crowd is None and sources["empty"].n_labels == 0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not a COCO file"),
        ("[]", "names no image"),  # a list is of Label Studio
        ('{"images": []}', "'annotations' is missing"),
        ('{"images": [], "annotations": []}', "names no image"),
        ('{"images": [{"id": 1, "file_name": "a", "height": -4, "width": 6}], "annotations": []}', "below 1"),
        ('{"images": [{"id": 1, "file_name": "a", "height": 4, "width": 6}], "annotations": [{"image_id": 2}]}', "2"),
    ],
)
def test_bad_coco_file(tmp_path: Path, text: str, match: str) -> None:
    """One line with the path."""
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=match) as info:
        find_masks(tmp_path / "a.json", coco=True)
    assert "\n" not in str(info.value) and "a.json" in str(info.value)


@pytest.mark.parametrize(
    "segmentation", [None, [], [[1, 2, 3]], [[0, 0, 1, 0, "x", 1]], {"size": [4, 5], "counts": [20]}, {"size": [4, 6]}]
)
def test_bad_segmentation(tmp_path: Path, segmentation: Any) -> None:
    """The image cannot be read; the others can."""
    (source,) = coco(tmp_path / "a.json", [{"image_id": 1, "segmentation": segmentation}])
    with pytest.raises(MaskError, match=r"a\.json: a: bad segmentation"):
        source.read()


def test_polygons_without_pycocotools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install."""
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    (source,) = coco(tmp_path / "a.json", [{"image_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1]]}])
    with pytest.raises(ModelError, match="pip install pycocotools"):
        source.read()


def test_predictions_are_a_folder(tmp_path: Path) -> None:
    """A COCO file is accepted only where it is asked for."""
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="a folder of masks is expected"):
        find_masks(tmp_path / "a.json")
