"""Stacks and animations become one sample a page, and nothing is dropped without a word."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gpoa.config import ReadingConfig
from gpoa.datasets.image_io import count_pages, load_image
from gpoa.datasets.pages import chosen_pages, expand_pages, load_sample, reading_parts, with_run_window
from gpoa.datasets.raster import say_once
from gpoa.errors import ConfigError, DataError, ImageError
from gpoa.types import Sample
from tests.datasets.files import one_line, store


@pytest.fixture(autouse=True)
def talkative() -> None:
    """Lines that other tests have said are said again."""
    say_once.cache_clear()


def stack(path: Path, count: int = 4, **options: object) -> Path:
    """A TIFF of 8-bit pages 6 x 8; page k is k * 10 everywhere."""
    pages = np.arange(count, dtype=np.uint8)[:, None, None] * 10 + np.zeros((1, 6, 8), np.uint8)
    tifffile.imwrite(path, pages, photometric="minisblack", **options)
    return path


def animation(path: Path) -> Path:
    """Three frames: red, green, blue."""
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


def test_every_page_of_a_stack_is_a_sample(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = stack(tmp_path / "a.tif")
    with caplog.at_level(logging.WARNING):
        samples = expand_pages([Sample("a", path), Sample("b", tmp_path / "b.jpg")], ReadingConfig())
    assert [sample.stem for sample in samples] == ["a_p0000", "a_p0001", "a_p0002", "a_p0003", "b"]
    assert [load_sample(sample, ReadingConfig())[0, 0, 0] for sample in samples[:4]] == [0, 10, 20, 30]
    assert "a.tif: 4 pages; 4 of 4 pages are used" in caplog.text


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_every_frame_of_an_animation_is_a_sample(tmp_path: Path, name: str) -> None:
    samples = expand_pages([Sample("a", animation(tmp_path / name))], ReadingConfig())
    seen = [load_sample(sample, ReadingConfig())[2, 2].tolist() for sample in samples]
    assert seen == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    ("pages", "stems", "values"),
    [
        (("first",), ["a"], [0]),
        (("max",), ["a"], [30]),
        (("3", "0-1"), ["a_p0003", "a_p0000", "a_p0001"], [30, 0, 10]),
        (("2-9",), ["a_p0002", "a_p0003"], [20, 30]),  # the file has no more
    ],
)
def test_pages_are_chosen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pages: tuple, stems: list, values: list
) -> None:
    reading = ReadingConfig(pages=pages)
    samples = expand_pages([Sample("a", stack(tmp_path / "a.tif"))], reading)
    assert [sample.stem for sample in samples] == stems
    assert [load_sample(sample, reading)[0, 0, 0] for sample in samples] == values
    assert "4 pages" in caplog.text


def test_projection_of_an_animation(tmp_path: Path) -> None:
    assert load_image(animation(tmp_path / "a.webp"), ReadingConfig(pages=("max",)))[0, 0].tolist() == [255, 255, 255]


def test_projection_of_values_that_8_bits_cannot_hold(tmp_path: Path) -> None:
    """The values are projected, not the stretched pictures."""
    values = np.array([[[100, 200, 0]], [[0, 100, 400]]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    assert load_image(tmp_path / "a.tif", ReadingConfig(pages=("max",)))[0, :, 0].tolist() == [0, 85, 255]


def test_projection_needs_equal_sizes(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for side in (6, 9):
            file.write(np.zeros((side, 8), np.uint16), photometric="minisblack")
    with pytest.raises(ImageError, match="page 1 has another size or kind than page 0") as info:
        load_image(tmp_path / "a.tif", ReadingConfig(pages=("max",)))
    one_line(info, tmp_path / "a.tif")


def test_a_page_that_is_not_there(tmp_path: Path) -> None:
    path = stack(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="no page 7; the file has 4, from 0") as info:
        load_image(path, page=7)
    one_line(info, path)
    with pytest.raises(DataError, match="--pages 7"):
        expand_pages([Sample("a", path)], ReadingConfig(pages=("7",)))


def test_stems_stay_unique(tmp_path: Path) -> None:
    """A file may be called as a page would be."""
    taken = Sample("a_P0001", store(tmp_path / "a_P0001.png", np.zeros((2, 2), np.uint8)))
    samples = expand_pages([Sample("a", stack(tmp_path / "a.tif", 2)), taken], ReadingConfig())
    assert [sample.stem for sample in samples] == ["a_p0000", "a_p0001_2", "a_P0001"]


def test_a_broken_file_is_kept_for_its_own_turn(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 nothing")
    assert [sample.page for sample in expand_pages([Sample("a", tmp_path / "a.tif")], ReadingConfig())] == [None]


def test_previews_of_a_camera_are_no_pages(tmp_path: Path) -> None:
    """An MPO's further pictures."""
    picture = Image.new("RGB", (8, 6))
    picture.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[picture])
    assert count_pages(tmp_path / "a.jpg") == 1


@pytest.mark.parametrize("pages", [("last",), ("all", "3"), ("-1",), ("3-",), ()])
def test_unknown_pages_are_refused(pages: tuple) -> None:
    with pytest.raises(ConfigError, match="--pages"):
        ReadingConfig(pages=pages)


def test_ranges_and_repeats() -> None:
    assert chosen_pages(ReadingConfig(pages=("5-6", "0", "5")), 9) == [5, 6, 0]


def test_one_window_for_a_run(tmp_path: Path) -> None:
    """The dim image stays dim; 8-bit images are as they were."""
    for name, top in (("dim", 100), ("bright", 400)):
        Image.fromarray(np.array([[0, top]], np.uint16)).save(tmp_path / f"{name}.png")
    store(tmp_path / "plain.png", np.array([[3, 9]], np.uint8))
    samples = [Sample(name, tmp_path / f"{name}.png") for name in ("dim", "plain", "gone")]
    asked = ReadingConfig(intensity="run")
    reading = with_run_window(asked, [tmp_path / "bright.png"], samples)
    assert reading.window == (0, 400)
    shown = [load_image(tmp_path / f"{name}.png", reading)[0, :, 0].tolist() for name in ("dim", "bright", "plain")]
    assert shown == [[0, 64], [0, 255], [3, 9]]
    assert load_image(tmp_path / "dim.png")[0, :, 0].tolist() == [0, 255]
    with pytest.raises(ImageError, match="--reading.window"):
        load_image(tmp_path / "dim.png", asked)
    assert with_run_window(asked, [tmp_path / "plain.png"], []).intensity == "image"


def test_only_what_shapes_pixels_counts_for_a_digest() -> None:
    assert reading_parts(ReadingConfig()) == reading_parts(ReadingConfig(pages=("0-5",))) == []
    assert reading_parts(ReadingConfig(pages=("max",))) != reading_parts(ReadingConfig(channels=(1,))) != []
