"""Measurements of shapes that are known, sizes of the reference's objects, and units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tifffile import imwrite

from gpoa.errors import ConfigError, DataError
from gpoa.instances.measuring import measure, read_csv, to_csv
from gpoa.instances.objects import Objects, none_found
from gpoa.instances.pixel_size import PixelSize, parse_pixel_size, read_pixel_size
from gpoa.instances.sizes import learn_sizes


def two() -> tuple[Objects, np.ndarray]:
    """A 4 x 10 box at the left border and a disc of radius 10."""
    labels = np.zeros((40, 60), dtype=np.uint16)
    labels[5:9, 0:10] = 1
    y, x = np.mgrid[:40, :60]
    labels[np.hypot(y - 20, x - 40) <= 10] = 2
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[labels == 1], image[labels == 2] = 50, (200, 200, 200)
    return Objects(labels, np.array([0.5, 0.75], np.float32), np.array([True, False])), image


def test_known_shapes() -> None:
    table = measure(*two(), PixelSize(0.5, 0.5, "um"))
    assert table["area_px"].tolist()[0] == 40 and table["area_um2"][0] == 10
    assert table["equivalent_diameter_px"][1] == pytest.approx(20, abs=0.3)
    assert table["equivalent_diameter_um"][1] == pytest.approx(10, abs=0.15)
    assert (table["centroid_x"].tolist(), table["centroid_y"].tolist()) == ([4.5, 40], [6.5, 20])
    assert [table[f"box_{name}"][0] for name in ("x", "y", "width", "height")] == [0, 5, 10, 4]
    assert table["touches_border"].tolist() == [True, False]
    assert table["mean_intensity"] == pytest.approx([50, 200], abs=0.01)
    assert table["circularity"][1] > 0.9 > table["circularity"][0]
    assert table["eccentricity"][1] == pytest.approx(0, abs=0.05) and table["eccentricity"][0] > 0.8
    assert table["outline"].tolist() == ["sam", "watershed"]


def test_the_file_holds_what_was_measured(tmp_path: Path) -> None:
    table = measure(*two())
    path = tmp_path / "a.csv"
    path.write_text(to_csv([("a", table)]))
    read = read_csv(path)
    assert list(read) == list(table) and [float(one) for one in read["confidence"]] == [0.5, 0.75]
    assert len(path.read_text().splitlines()) == 3
    with pytest.raises(DataError, match=r"b\.csv: cannot be read"):
        read_csv(tmp_path / "b.csv")


def test_no_object_at_all() -> None:
    empty = none_found((20, 30))
    table = measure(empty, np.zeros((20, 30, 3), dtype=np.uint8), PixelSize(1, 1, "um"))
    assert all(len(column) == 0 for column in table.values())
    assert to_csv([("a", table)]).count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.65um", (0.65, 0.65, "um")),
        ("650 nm", (650, 650, "nm")),
        ("0.5x0.25µm", (0.5, 0.25, "um")),
        ("1e-3mm", (1e-3, 1e-3, "mm")),
    ],
)
def test_pixel_sizes_are_read(text: str, expected: tuple) -> None:
    assert parse_pixel_size(text) == PixelSize(*expected)


@pytest.mark.parametrize("text", ["0.65", "um", "0um", "-1um", "1 furlong", "1umx2um"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--pixel-size"):
        parse_pixel_size(text)


def test_pixel_size_of_files(tmp_path: Path) -> None:
    pixels = np.zeros((8, 9), dtype=np.uint16)
    imwrite(tmp_path / "o.ome.tif", pixels, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"})  # fmt: skip
    imwrite(tmp_path / "i.tif", pixels, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    imwrite(tmp_path / "t.tif", pixels, resolution=(10_000, 10_000), resolutionunit="CENTIMETER")
    imwrite(tmp_path / "screen.tif", pixels, resolution=(72, 72), resolutionunit="INCH")
    imwrite(tmp_path / "plain.tif", pixels)
    assert read_pixel_size(tmp_path / "o.ome.tif") == PixelSize(0.5, 0.5, "um")
    assert read_pixel_size(tmp_path / "i.tif") == PixelSize(0.25, 0.25, "um")
    found = read_pixel_size(tmp_path / "t.tif")
    assert found is not None and (found.width, found.unit) == (pytest.approx(1), "um")
    assert read_pixel_size(tmp_path / "screen.tif") is read_pixel_size(tmp_path / "plain.tif") is None
    (tmp_path / "damaged.tif").write_bytes(b"II*\0nothing")
    assert read_pixel_size(tmp_path / "damaged.tif") is read_pixel_size(tmp_path / "a.png") is None


def test_sizes_of_the_reference() -> None:
    labels = np.zeros((50, 50), dtype=np.int32)
    labels[:10, :10], labels[20:30, :10], labels[40, 40] = 7, 70_000, 3  # a dot beside two objects is dust
    sizes = learn_sizes([labels])
    assert sizes.count == 2 and sizes.median == pytest.approx(np.sqrt(400 / np.pi))
    assert sizes.fit(np.array([100, 3, 10_000])).round(2).tolist() == [1, 0, 0]


def test_a_reference_with_one_object_of_six_pixels() -> None:
    labels = np.zeros((20, 20), dtype=np.int32)
    labels[3:5, 3:6] = 1
    sizes = learn_sizes([labels])
    assert sizes.count == 1 and sizes.low == sizes.high == sizes.median > 2
    with pytest.raises(ValueError, match="no object"):
        learn_sizes([np.zeros((5, 5), dtype=np.int32)])
