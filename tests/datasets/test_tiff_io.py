"""TIFF as microscopes, satellites and array libraries write it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gpoa.config import ReadingConfig
from gpoa.datasets.image_io import count_pages, image_size, load_image
from gpoa.datasets.raster import say_once
from gpoa.datasets.tiff_io import upright
from gpoa.errors import ImageError
from tests.datasets.files import one_line


def channels(count: int, dtype: str = "uint16") -> np.ndarray:
    """[20, 30, count]; channel c is a ramp to 1000 * (c + 1) along the columns."""
    ramp = np.linspace(0, 1, 30)[None, :, None] * (np.arange(count) + 1) * (1000 if dtype != "uint8" else 40)
    return np.broadcast_to(ramp, (20, 30, count)).astype(dtype)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_channels_planar_and_interleaved(tmp_path: Path, count: int, planar: str, dtype: str) -> None:
    """One page; the first three channels are shown, another choice is followed."""
    values = channels(count, dtype)
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar)
    assert count_pages(tmp_path / "a.tif") == 1 and image_size(tmp_path / "a.tif") == (20, 30)
    image = load_image(tmp_path / "a.tif")
    ends = [40, 80, 120] if dtype == "uint8" else [255] * 3  # 8-bit values are as stored, others have a window each
    assert image[3, -1].tolist() == [*ends, 0, 0][:count][:3] + [0] * (3 - min(count, 3))
    last = load_image(tmp_path / "a.tif", ReadingConfig(channels=(count - 1, 0)))
    assert last[3, -1].tolist() == [40 * count if dtype == "uint8" else 255, ends[0], 0]
    assert (last[..., 0].astype(int) > 0).any()


def test_the_choice_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    say_once.cache_clear()
    tifffile.imwrite(tmp_path / "a.tif", channels(5), photometric="minisblack", planarconfig="contig")
    with caplog.at_level(logging.WARNING):
        load_image(tmp_path / "a.tif")
        load_image(tmp_path / "a.tif")
    said = "images of 5 channels: 0, 1 and 2 are shown as red, green and blue; --channels chooses others"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_a_channel_that_is_not_there(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", channels(5), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ImageError, match="--channels 5: the image has 5 channels, 0 to 4") as info:
        load_image(tmp_path / "a.tif", ReadingConfig(channels=(5,)))
    one_line(info, tmp_path / "a.tif")


def test_channels_for_columns(tmp_path: Path) -> None:
    """An array library that is not told otherwise writes [20, 30, 5] as 20 pages of 30 x 5."""
    tifffile.imwrite(tmp_path / "a.tif", channels(5), photometric="minisblack")
    assert count_pages(tmp_path / "a.tif") == 1
    assert load_image(tmp_path / "a.tif").shape == (20, 30, 3)


def test_a_satellites_four_bands_keep_their_colours(tmp_path: Path) -> None:
    """Red, green, blue, infrared of 16 bits share one window; the fourth is no opacity."""
    values = channels(4)[..., [2, 1, 0, 3]]
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unspecified"])
    assert load_image(tmp_path / "a.tif")[0, -1].tolist() == [255, 170, 85]
    assert load_image(tmp_path / "a.tif", ReadingConfig(channels=(3, 0, 1)))[0, -1].tolist() == [255, 191, 128]


@pytest.mark.parametrize("form", ["ome", "imagej"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_stacks_of_time_depth_and_channels(tmp_path: Path, form: str, compression: str | None) -> None:
    """2 times, 3 depths: six pages of two channels, in the order of the file."""
    values = np.zeros((2, 3, 2, 6, 8), np.uint16)
    values[..., 0, 0] = 60
    for number, (time, depth) in enumerate(np.ndindex(2, 3)):
        values[time, depth, 0, 3, 4] = values[time, depth, 1, 3, number] = 60
    options = {"compression": compression} if form == "ome" else {}
    options |= {"photometric": "minisblack"} if form == "ome" else {}
    tifffile.imwrite(tmp_path / "a.tif", values, **{form: True}, metadata={"axes": "TZCYX"}, **options)
    assert count_pages(tmp_path / "a.tif") == 6
    for page in range(6):
        image = load_image(tmp_path / "a.tif", page=page)
        assert image.shape == (6, 8, 3) and image[3, 4, 0] == image[3, page, 1] == 255


@pytest.mark.parametrize("compression", ["lzw", "zstd", "jpeg2000", "zlib", "packbits"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressed_tiled_bigtiff(tmp_path: Path, compression: str, tile: tuple | None) -> None:
    pytest.importorskip("imagecodecs")
    values = np.linspace(0, 4080, 24 * 40).astype(np.uint16).reshape(24, 40)
    tifffile.imwrite(tmp_path / "a.tif", values, compression=compression, tile=tile, bigtiff=True)
    assert (load_image(tmp_path / "a.tif")[..., 1] == np.rint(values / 4080 * 255)).all()


def test_a_missing_codec_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", channels(3), compression="zstd", photometric="rgb")

    def without(*_: object, **__: object) -> None:
        raise ValueError("<COMPRESSION.ZSTD: 50000> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", without)
    monkeypatch.setattr(tifffile.TiffPageSeries, "dataoffset", None, raising=False)
    with pytest.raises(ImageError, match=r"ZSTD .* needs .*imagecodecs; run: pip install 'gpoa\[science\]'"):
        load_image(tmp_path / "a.tif")


def test_deep_grey_without_codec_is_read_by_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before tifffile came."""
    pytest.importorskip("imagecodecs")
    values = np.array([[1000, 1510, 2020]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, compression="lzw")

    def without(*_: object, **__: object) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", without)
    assert load_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]


def test_gdals_nodata_is_left_out(tmp_path: Path) -> None:
    values = np.linspace(500, 900, 600).astype(np.uint16).reshape(20, 30)
    values[:5] = 0
    for name, tags in (("plain", []), ("named", [(42113, "s", 0, "0", True)])):
        tifffile.imwrite(tmp_path / f"{name}.tif", values, extratags=tags)
    assert load_image(tmp_path / "named.tif")[5, 0, 0] == 0 and load_image(tmp_path / "plain.tif")[5, 0, 0] > 130


def test_white_is_zero_is_inverted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 500, 1000]], np.uint16), photometric="miniswhite")
    assert load_image(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 127, 0] or sys.byteorder == "big"


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
    ],
)
def test_orientation(tmp_path: Path, orientation: int, turned: list) -> None:
    """What TIFF 6.0 says of the tag; size and pixels agree."""
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.float64)
    assert upright(stored[..., None], orientation)[..., 0].tolist() == turned
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[(274, "H", 1, orientation, True)])
    assert image_size(tmp_path / "a.tif") == np.shape(turned)
    assert (load_image(tmp_path / "a.tif")[..., 0] == (np.array(turned) - 1) * 51).all()
