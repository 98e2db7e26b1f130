"""Drawing: sizes, tints, marks, and inputs left alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gpoa.types import PointPrompts
from gpoa.viewer.overlays import (
    BOX_COLOR,
    CONTOUR_COLOR,
    LONGEST_SIDE,
    MASK_COLOR,
    MASK_OPACITY,
    NEGATIVE_COLOR,
    POSITIVE_COLOR,
    Tile,
    contact_sheet,
    draw_objects,
    draw_overlay,
)

GREY = 100


def _image(height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def _prompts(xy: list, labels: list, box: list | None = None) -> PointPrompts:
    return PointPrompts(
        np.array(xy, np.float32).reshape(-1, 2), np.array(labels), None if box is None else np.array(box, np.float32)
    )


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [
        (40, 60, (60, 40)),  # small images stay as they are
        (LONGEST_SIDE, 8, (8, LONGEST_SIDE)),  # exactly at the limit
        (2 * LONGEST_SIDE, LONGEST_SIDE, (LONGEST_SIDE // 2, LONGEST_SIDE)),  # tall
        (LONGEST_SIDE // 2, 4 * LONGEST_SIDE, (LONGEST_SIDE, LONGEST_SIDE // 8)),  # wide
        (1, 5000, (LONGEST_SIDE, 1)),  # never thinner than a pixel
    ],
)
def test_size_limit(height: int, width: int, side: tuple[int, int]) -> None:
    mask = np.zeros((height, width), bool)
    mask[: height // 2 + 1] = True
    picture = draw_overlay(_image(height, width), mask, _prompts([[0, 0]], [1]))
    assert (picture.size, picture.mode) == (side, "RGB")


def test_mask_is_tinted_and_the_rest_untouched() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    pixels = np.asarray(draw_overlay(_image(), mask))
    tint = [round(GREY + MASK_OPACITY * (channel - GREY)) for channel in MASK_COLOR]
    assert (pixels[11:29, 21:49] == tint).all()
    assert (pixels[10, 20:50] == CONTOUR_COLOR).all() and (pixels[10:30, 49] == CONTOUR_COLOR).all()
    assert (pixels[~mask] == GREY).all()


def test_mask_at_the_border_of_the_image_has_no_contour_there() -> None:
    pixels = np.asarray(draw_overlay(_image(), np.ones((40, 60), bool)))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 1


def test_empty_mask_changes_nothing() -> None:
    assert (np.asarray(draw_overlay(_image(), np.zeros((40, 60), bool))) == GREY).all()


def test_marks_lie_on_their_points() -> None:
    pixels = np.asarray(draw_overlay(_image(), prompts=_prompts([[45, 10], [15, 30]], [1, 0], [4, 4, 56, 36])))
    assert tuple(pixels[10, 45]) == POSITIVE_COLOR
    assert tuple(pixels[30, 15]) == NEGATIVE_COLOR
    assert tuple(pixels[20, 4]) == BOX_COLOR
    assert tuple(pixels[20, 30]) == (GREY,) * 3


def test_marks_scale_with_the_picture() -> None:
    image = _image(LONGEST_SIDE, 2 * LONGEST_SIDE)
    pixels = np.asarray(draw_overlay(image, prompts=_prompts([[1601, 401]], [1])))
    assert tuple(pixels[200, 800]) == POSITIVE_COLOR
    assert tuple(pixels[401, 1000]) == (GREY,) * 3


def test_inputs_are_left_alone() -> None:
    image, mask = _image(), np.eye(40, 60, dtype=bool)
    prompts = _prompts([[30, 20]], [1], [1, 1, 50, 30])
    draw_overlay(image, mask, prompts)
    draw_overlay(image, prompts=prompts)
    assert (image == GREY).all()
    assert np.array_equal(mask, np.eye(40, 60, dtype=bool))
    assert prompts.point_coords.tolist() == [[30, 20]]


def _tiles(count: int, caption: str = "a", size: tuple[int, int] = (30, 20)) -> list[Tile]:
    return [Tile(Image.new("RGB", size, "white"), caption) for _ in range(count)]


def test_sheet_grows_by_columns() -> None:
    widths = [contact_sheet(_tiles(count), columns=3, cell=100).width for count in (1, 2, 3, 4)]
    assert widths[1] - widths[0] == widths[2] - widths[1] >= 100
    assert widths[3] == widths[2]  # the fourth starts a new row


def test_sheet_grows_by_rows_as_high_as_their_pictures() -> None:
    # 30 x 20 in a cell of 90 becomes 90 x 60, 20 x 30 becomes 60 x 90.
    heights = [contact_sheet(_tiles(count), columns=2, cell=90).height for count in (1, 2, 3)]
    assert heights[1] == heights[0]
    row = heights[2] - heights[1]
    assert 60 < row < 100
    assert contact_sheet(_tiles(1, size=(20, 30)), cell=90).height == heights[0] + 30


def test_pictures_lie_row_by_row() -> None:
    colors = ["red", "lime", "blue"]
    sheet = contact_sheet([Tile(Image.new("RGB", (30, 20), color), "") for color in colors], columns=2, cell=90)
    pixels = np.asarray(sheet).astype(int)
    centres = [np.argwhere((pixels == np.eye(3, dtype=int)[i] * 255).all(-1)).mean(0) for i in range(3)]
    assert centres[0][0] == centres[1][0] < centres[2][0]
    assert centres[0][1] == centres[2][1] < centres[1][1]


@pytest.mark.parametrize("caption", ["short", "an image name that is much too long for its cell " * 4, "é" * 200])
def test_captions_stay_below_their_picture(caption: str) -> None:
    cell = 120
    tiles = [*_tiles(1, caption), *_tiles(1, "")]
    sheet = contact_sheet(tiles, columns=2, cell=cell)
    assert sheet.size == contact_sheet(_tiles(2, ""), columns=2, cell=cell).size
    inked = np.flatnonzero((np.asarray(sheet) < 128).all(-1).any(0))
    assert len(inked) > 0
    assert inked.max() - inked.min() <= cell
    assert inked.max() < sheet.width / 2


def test_caption_with_a_line_break() -> None:
    """A file name may hold one."""
    assert contact_sheet(_tiles(1, "two\nlines")).size == contact_sheet(_tiles(1)).size


def test_each_object_has_a_colour_of_its_own() -> None:
    labels = np.zeros((200, 300), dtype=np.uint16)
    labels[20:80, 20:80], labels[20:80, 80:140] = 1, 2
    picture = np.asarray(draw_objects(np.full((200, 300, 3), 90, dtype=np.uint8), labels)).astype(int)
    assert picture.shape == (200, 300, 3) and (picture[150, 250] == 90).all()
    first, second = picture[50, 50], picture[50, 110]
    assert np.abs(first - second).max() > 30 and np.abs(first - 90).max() > 10
