"""Every format, read back by its own library or by an independent reading of its definition."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image

from gpoa.cli.export import FormatName
from gpoa.datasets.exporters.collection import open_run
from gpoa.datasets.exporters.registry import EXPORTERS, export
from gpoa.datasets.exporters.writing import Options
from gpoa.datasets.importers.reading import read_annotations, read_shapes
from tests.datasets.exporters.runs import SIZE, classes_run, instances_run, masks_run, objects

FORMATS = sorted(EXPORTERS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return instances_run(tmp_path)


def test_the_command_line_knows_every_format() -> None:
    assert set(get_args(FormatName)) == set(EXPORTERS)


def _coco(folder: Path) -> tuple[object, dict[str, int]]:
    from pycocotools.coco import COCO

    coco = COCO(folder / "annotations.json")
    return coco, {image["file_name"]: image["id"] for image in coco.loadImgs(coco.getImgIds())}


@pytest.mark.parametrize("rle", [False, True])
def test_coco_by_pycocotools(out: Path, rle: bool) -> None:
    export(open_run(out), "coco", out / "coco", Options(rle=rle))
    coco, images = _coco(out / "coco")
    assert set(images) == {"a.png", "b.png"} and not coco.getAnnIds(images["b.png"])
    found = coco.loadAnns(coco.getAnnIds(images["a.png"]))
    assert [one["score"] for one in found] == [0.75] * 4
    for number, one in enumerate(found, start=1):
        assert np.array_equal(coco.annToMask(one), objects() == number)


def test_coco_simplified_still_has_the_hole(out: Path) -> None:
    export(open_run(out), "coco", out / "coco", Options(simplify=0.5))
    coco, images = _coco(out / "coco")
    masks = [coco.annToMask(one) > 0 for one in coco.loadAnns(coco.getAnnIds(images["a.png"]))]
    assert not masks[0][11, 11] and masks[0][6, 6]
    assert not (masks[0] & masks[1]).any()  # neighbours do not overlap
    assert (masks[0] | masks[1])[5:9, 5:30].all()  # nor leave a sliver


def test_yolo_keeps_an_object_one_line(out: Path) -> None:
    """Also one with a hole and one of two parts; an image without objects is a negative example."""
    done = export(open_run(out), "yolo-seg", out / "yolo")
    lines = (out / "yolo" / "labels" / "a.txt").read_text().splitlines()
    assert len(lines) == 4 and (out / "yolo" / "labels" / "b.txt").read_text() == ""
    for number, line in enumerate(lines, start=1):
        path = np.array(line.split()[1:], dtype=float).reshape(-1, 2)
        assert line.startswith("0 ") and path.min() >= 0 and path.max() <= 1
        (shape,) = [one for place, one in enumerate(_shapes(out / "yolo" / "labels" / "a.txt")) if place == number - 1]
        assert np.array_equal(shape, objects() == number)
    yaml = (out / "yolo" / "dataset.yaml").read_text()
    assert 'names:\n  0: "object"\n' in yaml and "train: images" in yaml
    assert Image.open(out / "yolo" / "images" / "a.png").size == SIZE[::-1]
    assert done.images == 2 and done.objects == 4 and not done.notes


def _shapes(path: Path, name: str = "a.png") -> list[np.ndarray]:
    """All objects of an image, by our importer."""
    one = next(one for one in read_annotations(path) if one.name in (name, Path(name).stem))
    return [shape.mask for shape in read_shapes(path, one, SIZE)]


def test_imagej_by_roifile(out: Path) -> None:
    """Simple areas are freehand ROIs, the others composites; names sort by number."""
    from roifile import roiread

    export(open_run(out), "imagej-rois", out / "rois")
    rois = roiread(out / "rois" / "a.zip")
    assert [(roi.name, roi.composite) for roi in rois] == [
        ("00001-object", True), ("00002-object", False), ("00003-object", True), ("00004-object", False),
    ]  # fmt: skip
    assert sorted(map(tuple, rois[1].coordinates().tolist())) == [(20, 5), (20, 20), (30, 5), (30, 20)]
    assert len(rois[0].coordinates(multi=True)) == 2  # the outline and the hole
    assert (rois[0].left, rois[0].top, rois[0].right, rois[0].bottom) == (5, 5, 20, 20)
    for number, mask in enumerate(_shapes(out / "rois" / "a.zip"), start=1):
        assert np.array_equal(mask, objects() == number)


def test_labels_and_napari_by_tifffile(out: Path) -> None:
    for name in ("labels", "napari"):
        export(open_run(out), name, out / name)
        found = tifffile.imread(out / name / "a.tif")
        assert found.dtype == np.uint16 and np.array_equal(found, objects())
    rows = list(csv.DictReader((out / "napari" / "a.csv").open()))
    assert {row["shape-type"] for row in rows} == {"polygon"} and len({row["index"] for row in rows}) == 4
    second = [(float(row["axis-0"]), float(row["axis-1"])) for row in rows if row["index"] == "1"]
    assert sorted(second) == [(4.5, 19.5), (4.5, 29.5), (19.5, 19.5), (19.5, 29.5)]  # (y, x), pixel centres whole


def test_geojson_in_pixels_without_a_coordinate_system(out: Path) -> None:
    import shapely

    export(open_run(out), "geojson", out / "geo")
    features = json.loads((out / "geo" / "a.geojson").read_text())["features"]
    shapes = [shapely.from_geojson(json.dumps(one["geometry"])) for one in features]
    assert [shape.area for shape in shapes] == [(objects() == number).sum() for number in range(1, 5)]
    assert shapes[2].geom_type == "MultiPolygon" and features[0]["properties"]["confidence"] == 0.75


def test_geotiff_and_geojson_lie_where_the_image_lies(tmp_path: Path) -> None:
    """Read by rasterio: the same system and transform; the GeoJSON burns back into the same pixels."""
    import rasterio
    from rasterio.features import rasterize
    from rasterio.transform import from_origin
    from rasterio.warp import transform_geom

    out = instances_run(tmp_path)
    image, place = tmp_path / "images" / "a.tif", from_origin(500_000, 5_600_000, 2, 2)
    kind = {"driver": "GTiff", "height": SIZE[0], "width": SIZE[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(image, "w", crs="EPSG:32632", transform=place, **kind) as file:
        file.write(np.full(SIZE, 90, np.uint8), 1)
    plain = json.loads((out / "run.json").read_text())
    plain["images"][0]["path"] = str(image)
    (out / "run.json").write_text(json.dumps(plain))
    done = export(open_run(out), "geotiff", out / "tif")
    assert done.notes == ["1 of 2 images have no coordinate system"]
    with rasterio.open(out / "tif" / "a.tif") as file:
        assert file.crs.to_epsg() == 32632 and file.transform == place and np.array_equal(file.read(1), objects())
    export(open_run(out), "geojson", out / "geo")
    features = json.loads((out / "geo" / "a.geojson").read_text())["features"]
    lon, lat = features[0]["geometry"]["coordinates"][0][0]
    assert 8.9 < lon < 9.1 and 50.4 < lat < 50.6  # zone 32's meridian is 9 degrees east
    systems = ("EPSG:4326", "EPSG:32632")
    back = [(transform_geom(*systems, one["geometry"]), one["properties"]["object"]) for one in features]
    assert np.array_equal(rasterize(back, SIZE, transform=place), objects())


def test_label_studio_by_its_schema(out: Path) -> None:
    done = export(open_run(out), "label-studio", out / "ls", Options(image_root="http://host/"))
    tasks = json.loads((out / "ls" / "tasks.json").read_text())
    (prediction,) = tasks[0]["predictions"]
    assert tasks[0]["data"] == {"image": "http://host/a.png"} and prediction["score"] == 0.75
    region = prediction["result"][1]
    assert region["type"] == "polygonlabels" and region["value"]["polygonlabels"] == ["object"]
    assert (region["original_width"], region["original_height"], region["score"]) == (60, 40, 0.75)
    percent = np.array(region["value"]["points"])
    assert sorted(map(tuple, (percent * (0.6, 0.4)).round(3).tolist())) == [(20, 5), (20, 20), (30, 5), (30, 20)]
    view = ElementTree.parse(done.files[1]).getroot()
    tag = view.find("PolygonLabels")
    assert tag is not None and tag.attrib == {"name": region["from_name"], "toName": region["to_name"]}
    assert tasks[1]["predictions"][0]["result"] == []


def test_cvat_by_its_schema(out: Path) -> None:
    """A mask's run lengths go row by row through its box and begin with background."""
    export(open_run(out), "cvat", out / "cvat")
    first, second = ElementTree.parse(out / "cvat" / "annotations.xml").getroot().findall("image")
    assert first.attrib == {"id": "0", "name": "a.png", "width": "60", "height": "40"} and len(second) == 0
    assert [shape.tag for shape in first] == ["mask", "polygon", "mask", "polygon"]
    hole, simple = first[0].attrib, first[1].attrib
    assert hole["rle"].startswith("0, 64, 4, 11, 4,") and (hole["left"], hole["top"]) == ("5", "5")
    assert (hole["width"], hole["height"]) == ("15", "15")
    assert simple["points"] == "20.00,5.00;30.00,5.00;30.00,20.00;20.00,20.00"
    assert first[0].findtext("attribute") == "0.7500"


def test_csv_has_a_row_an_object(out: Path) -> None:
    export(open_run(out), "csv", out / "csv")
    rows = list(csv.DictReader((out / "csv" / "objects.csv").open()))
    assert [row["object"] for row in rows] == ["1", "2", "3", "4", ""]  # the last: an image without objects
    second = {name: rows[1][name] for name in ("area", "x", "y", "x0", "y0", "x1", "y1")}
    assert second == dict(zip(second, ["150", "24.5", "12.0", "20", "5", "30", "20"], strict=True))


@pytest.mark.parametrize(
    ("to", "file"),
    [("coco", "annotations.json"), ("yolo-seg", "labels/a.txt"), ("label-studio", "tasks.json"),
     ("cvat", "annotations.xml"), ("imagej-rois", "a.zip")],
)  # fmt: skip
def test_what_is_exported_is_read_again(out: Path, to: str, file: str) -> None:
    """The importers give every object back, pixel by pixel."""
    export(open_run(out), to, out / to)
    found = _shapes(out / to / file)
    assert len(found) == 4
    for number, mask in enumerate(found, start=1):
        assert np.array_equal(mask, objects() == number)


@pytest.mark.parametrize("to", FORMATS)
def test_classes_and_plain_masks_are_exported_too(tmp_path: Path, to: str) -> None:
    done = export(open_run(classes_run(tmp_path / "classes")), to, tmp_path / "classes" / to)
    assert (done.images, done.objects, done.failed) == (1, 2, [])
    plain = masks_run(tmp_path / "masks")
    done = export(open_run(plain, "nut", components=True), to, tmp_path / "masks" / to)
    assert (done.images, done.objects) == (1, 4)  # the neighbours are one part, object 3 is two, and the pixel


def test_names_and_confidences_of_classes(tmp_path: Path) -> None:
    out = classes_run(tmp_path)
    export(open_run(out), "cvat", out / "cvat")
    (image,) = ElementTree.parse(out / "cvat" / "annotations.xml").getroot().findall("image")
    assert [(one.attrib["label"], one.findtext("attribute")) for one in image] == [
        ("cat", "0.9000"), ("dog & cow", "0.5000"),
    ]  # fmt: skip
    export(open_run(out), "labels", out / "labels_out")
    assert json.loads((out / "labels_out" / "classes.json").read_text()) == {"1": "cat", "2": "dog & cow"}


def test_a_damaged_image_does_not_end_the_rest(out: Path) -> None:
    (out / "labels" / "a.tif").write_bytes(b"no picture")
    done = export(open_run(out), "coco", out / "coco")
    assert done.images == 1 and len(done.failed) == 1 and "a.tif: not a label image" in done.failed[0]


def test_two_images_of_one_name_stay_apart(tmp_path: Path) -> None:
    """a.png and a.jpg: their stems are a_png and a_jpg."""
    out = instances_run(tmp_path)
    for old, new, suffix in (("a", "c_png", ".png"), ("b", "c_jpg", ".jpg")):
        (out / "labels" / f"{old}.tif").rename(out / "labels" / f"{new}.tif")
        (tmp_path / "images" / f"{old}.png").rename(tmp_path / "images" / f"c{suffix}")
    items = [{"stem": f"c_{kind}", "path": str(tmp_path / "images" / f"c.{kind}")} for kind in ("png", "jpg")]
    (out / "run.json").write_text(json.dumps({"images": items}))
    export(open_run(out), "yolo-seg", out / "yolo")
    texts = [(out / "yolo" / "labels" / f"c_{kind}.txt").read_text() for kind in ("png", "jpg")]
    assert texts[0] and not texts[1]
    assert {path.name for path in (out / "yolo" / "images").iterdir()} == {"c_png.png", "c_jpg.jpg"}


def test_an_image_with_half_a_place_on_the_earth_is_exported(tmp_path: Path) -> None:
    """A pixel scale without a coordinate system ends nothing."""
    out = instances_run(tmp_path)
    extra = (33550, "d", 3, (1.0, 1.0, 0.0), True)
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.zeros(SIZE, np.uint8), extratags=[extra])
    plain = json.loads((out / "run.json").read_text())
    plain["images"][0]["path"] = str(tmp_path / "images" / "a.tif")
    (out / "run.json").write_text(json.dumps(plain))
    for to in ("geotiff", "geojson"):
        done = export(open_run(out), to, out / to)
        assert done.images == 2 and len(list((out / to).glob("[ab].*"))) == 2
