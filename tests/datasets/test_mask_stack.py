"""Masks as TIFF stacks, on the earth where their image is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gpoa.datasets.geo import copy_georeference, is_georeferenced
from gpoa.datasets.mask_io import save_mask
from gpoa.datasets.mask_stack import write_mask_stack, write_mask_tiffs
from gpoa.errors import DataError
from gpoa.types import Sample


def marked(place: int) -> np.ndarray:
    """[4, 6] bool with one pixel."""
    return np.arange(24).reshape(4, 6) == place


def geotiff(path: Path) -> Path:
    """4 x 6 pixels of 10 m in UTM zone 33 N."""
    rasterio = pytest.importorskip("rasterio")
    options = {"width": 6, "height": 4, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
    transform = rasterio.transform.from_origin(500000, 5400000, 10, 10)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **options) as file:
        file.write(np.ones((4, 6), np.uint16), 1)
    return path


@pytest.mark.parametrize("count", [1, 3])
def test_a_stack_has_a_page_a_mask(tmp_path: Path, count: int) -> None:
    write_mask_stack(tmp_path / "a.tif", [marked(place) for place in range(count)])
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        pages = [page.asarray() for page in file.pages]
    assert len(pages) == count
    assert all((page == marked(place) * 255).all() and page.dtype == np.uint8 for place, page in enumerate(pages))


def test_wrong_masks_are_refused(tmp_path: Path) -> None:
    for wrong in ([], [marked(0).astype(np.uint8)]):
        with pytest.raises(ValueError, match=r"\[H, W\] bool"):
            write_mask_stack(tmp_path / "a.tif", wrong)


def test_masks_of_a_run_come_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Page 5 failed: its page is empty, and said; an image without any mask gets no file."""
    image = tmp_path / "a.tif"
    samples = [Sample(f"a_p000{page}", image, page=page) for page in (3, 5, 4)]
    samples += [Sample("b", tmp_path / "b.png"), Sample("c", tmp_path / "c.png")]
    for stem, place in (("a_p0003", 3), ("a_p0004", 4), ("b", 9)):
        save_mask(tmp_path / "masks" / f"{stem}.png", marked(place))
    written = write_mask_tiffs(tmp_path / "masks", tmp_path / "out", samples)
    assert [path.name for path in written] == ["a.tif", "b.tif"]
    pages = tifffile.imread(written[0])
    assert [np.flatnonzero(page).tolist() for page in pages] == [[3], [], [4]]
    assert "no mask of a_p0005" in caplog.text


def test_a_mask_lies_where_its_image_lies(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "image.tif")
    write_mask_stack(tmp_path / "mask.tif", [marked(7)], image)
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(image) as source, rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.crs == source.crs and mask.crs.to_epsg() == 32633
        assert mask.transform == source.transform
        assert (mask.read(1) == marked(7) * 255).all()


def test_what_is_nowhere_stays_nowhere(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((4, 6), np.uint8))
    (tmp_path / "image.png").write_bytes(b"no TIFF")
    write_mask_stack(tmp_path / "mask.tif", [marked(0)])
    for name in ("image.tif", "image.png", "gone.tif"):
        assert not copy_georeference(tmp_path / name, tmp_path / "mask.tif")
    assert not is_georeferenced(tmp_path / "mask.tif")


def test_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = geotiff(tmp_path / "image.tif")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DataError, match=r"needs .*rasterio; run: pip install 'gpoa\[geo\]'"):
        write_mask_stack(tmp_path / "mask.tif", [marked(0)], image)
