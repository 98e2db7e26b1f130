"""Which pixels of a mask picture are foreground: one literal row for each rule."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gpoa.datasets.mask_values import foreground_of, foreground_of_values
from gpoa.datasets.options import MaskOptions


def bits(text: str) -> list[bool]:
    """ "01 1" as booleans; spaces are for the eye."""
    return [character == "1" for character in text.replace(" ", "")]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 255, 0, 255], "uint8", "0101"),  # the plain case
        ([0, 1, 0, 1], "uint8", "0101"),  # 0/1
        ([0, 1, 2, 3], "uint8", "0111"),  # small class numbers: every one
        ([0, 1, 2, 200], "uint8", "0111"),  # instance numbers that do not reach white
        ([0, 0, 1, 2, 2, 255], "uint8", "001110"),  # class numbers and void, as in VOC without a palette
        ([0, 1, 254, 255, 255], "uint8", "00111"),  # nearly binary: noise of one level at both ends
        ([0, 76, 149, 255], "uint8", "0111"),  # few grey levels: classes
        (list(range(256)), "uint8", "0" * 128 + "1" * 128),  # a ramp: from half of white on
        ([0, 65535, 0, 1], "uint16", "0100"),  # 16 bits, with one level of noise
        ([0, 300, 0, 41], "uint16", "0101"),  # 16-bit instance numbers
        (list(range(256)), "uint16", "0" + "1" * 255),  # 255 objects in a wide file are no grey ramp
        (list(range(256)), "int32", "0" + "1" * 255),
        ([0, 300, 41, 62000, 7, 7], "uint16", "011111"),  # ids with gaps, up to near the end
        ([0, 1, 5, 70000, 70000, 70000], "int32", "011111"),  # ids above 65,535
        ([0, 1, 5, 70000, 70000, 70000], "int64", "011111"),
        ([0, 1, 5, 70000, 70000, 70000], "float64", "011111"),
        ([0.0, 1.0], "float32", "01"),
        ([i / 40 for i in range(41)], "float32", "0" * 20 + "1" * 21),  # probabilities: from 0.5 on
        ([np.nan, 0.0, 1.0], "float32", "001"),  # NaN is background
        ([-1, 0, 5], "int32", "001"),  # negative is background
        ([False, True], "bool", "01"),
        ([0, 0, 0], "uint8", "000"),
        ([7, 7, 7], "uint8", "111"),
    ],
)
def test_values(values: list, dtype: str, expected: str) -> None:
    """Rule 4."""
    assert foreground_of_values(np.array([values], dtype=dtype)).mask.tolist() == [bits(expected)]


def test_values_of_lossy_file() -> None:
    """JPEG: half of the largest value, even where nothing is white and few levels occur."""
    assert foreground_of_values(np.array([[0, 3, 90, 110, 200]], np.uint8), lossy=True).mask.tolist() == [bits("00011")]


def palette_picture(indices: list[int], colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    """A one-row palette picture."""
    table = np.zeros((256, 3), np.uint8)
    for index, colour in colours.items():
        table[index] = colour
    picture = Image.fromarray(np.array([indices], np.uint8))
    picture.putpalette(table.tobytes())
    assert picture.mode == "P"
    return picture


BLACK, WHITE, RED, CREAM = (0, 0, 0), (255, 255, 255), (128, 0, 0), (224, 224, 192)


@pytest.mark.parametrize(
    ("indices", "colours", "expected"),
    [
        ([0, 1, 2, 255], {1: RED, 2: (0, 128, 0), 255: CREAM}, "0110"),  # VOC: 255 is void
        ([0, 255], {255: RED}, "01"),  # nothing but 255: then it is the object
        ([0, 1], {0: WHITE, 1: BLACK}, "10"),  # a tool put white first: by the greys it shows
        ([0, 1], {0: BLACK, 1: WHITE}, "01"),
        ([0, 7], {7: (128, 128, 128)}, "01"),  # VOC's grey class 7
        ([0, 1, 2], {}, "011"),  # an all-black palette tells nothing: by index
        ([1, 2], {1: RED, 2: (0, 128, 0)}, "11"),  # no background index: full
    ],
)
def test_palette(indices: list[int], colours: dict, expected: str) -> None:
    """Rule 2."""
    assert foreground_of(palette_picture(indices, colours)).mask.tolist() == [bits(expected)]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([(0, 0, 0, 255), (90, 0, 0, 255), (0, 0, 255, 255)], "011"),  # opaque: by colour
        ([(0, 0, 0, 9), (255, 0, 0, 9)], "01"),  # one alpha everywhere says nothing
        ([(0, 0, 0, 0), (0, 0, 0, 255)], "01"),  # one colour, alpha varies: by alpha
        ([(255, 255, 255, 0), (255, 255, 255, 100)], "01"),  # likewise, half transparent
        ([(0, 0, 0, 0), (12, 80, 7, 255), (90, 3, 1, 255)], "011"),  # a cut-out
        (
            [(255, 255, 255, 0), (0, 0, 0, 255), (255, 255, 255, 255)],
            "001",
        ),  # black and white, white margin transparent
    ],
)
def test_alpha(pixels: list, expected: str) -> None:
    """Rule 3."""
    picture = Image.fromarray(np.array([pixels], np.uint8))
    assert foreground_of(picture).mask.tolist() == [bits(expected)]


def test_grey_with_alpha() -> None:
    """LA follows the rules of RGBA."""
    picture = Image.new("LA", (2, 1), (0, 0))
    picture.putpixel((1, 0), (0, 200))
    assert foreground_of(picture).mask.tolist() == [bits("01")]


def test_colour_counts_by_largest_channel() -> None:
    """Red, green or blue on black."""
    picture = Image.fromarray(np.array([[(0, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 64)]], np.uint8))
    assert foreground_of(picture).mask.tolist() == [bits("0111")]


def test_label() -> None:
    """Exactly the label, in grey values, palette indices and RGB of three equal channels."""
    grey = np.array([[0, 1, 2, 255]], np.uint8)
    assert foreground_of(Image.fromarray(grey), MaskOptions(label=2)).mask.tolist() == [bits("0010")]
    void, colours = MaskOptions(label=255), Image.fromarray(np.repeat(grey[..., None], 3, 2))
    assert foreground_of(colours, void).mask.tolist() == [bits("0001")]
    assert foreground_of(palette_picture([0, 1, 255], {1: RED, 255: CREAM}), void).mask.tolist() == [bits("001")]
    assert foreground_of(Image.fromarray(grey.astype(np.uint16)), MaskOptions(label=1)).mask.tolist() == [bits("0100")]


def test_label_of_coloured_mask_is_refused() -> None:
    """A colour is no number."""
    with pytest.raises(ValueError, match="no label numbers"):
        foreground_of(Image.new("RGB", (2, 1), (255, 0, 0)), MaskOptions(label=1))


@pytest.mark.parametrize(
    ("values", "dtype", "rule", "ids"),
    [
        ([0, 255], "uint8", "every value above 0 counts", [255]),
        ([0, 1, 2, 9], "uint8", "every value above 0 counts", [1, 2, 9]),
        ([0, 1, 1, 2, 2, 255], "uint8", "small numbers count, 255 is taken as undecided", [1, 2]),
        ([0, 76, 149, 255], "uint8", "values above 15.9 count", [76, 149, 255]),
        ([0, 1, 254, 255, 255], "uint8", "values above 15.9 count", []),  # white with one level of noise is one object
        (list(range(256)), "uint8", "values from 127.5 on count", []),
        ([0, 0.5, 0.7], "float32", "every value above 0 counts", []),
    ],
)
def test_rule_in_words(values: list, dtype: str, rule: str, ids: list) -> None:
    """Which rule was used, and which values tell objects apart."""
    found = foreground_of_values(np.array([values], dtype=dtype))
    assert (found.rule, found.ids.tolist()) == (rule, ids)


def test_threshold_and_inversion() -> None:
    """Probabilities that are never 0; the rest of a mask; both."""
    values = np.array([[0.05, 0.5, 0.95]], np.float32)
    assert foreground_of_values(values, MaskOptions(mask_threshold=0.5)).mask.tolist() == [bits("011")]
    assert foreground_of_values(values, MaskOptions(mask_threshold=0.5, invert_mask=True)).mask.tolist() == [
        bits("100")
    ]
    grey = Image.fromarray(np.array([[0, 100, 200]], np.uint8))
    assert foreground_of(grey, MaskOptions(mask_threshold=150)).mask.tolist() == [bits("001")]
    assert foreground_of(grey, MaskOptions(invert_mask=True)).mask.tolist() == [bits("100")]


def test_annotation_on_white_is_refused_as_such() -> None:
    """Every pixel of it has a full channel, so it used to cover the whole image."""
    pixels = np.full((20, 30, 3), 255, np.uint8)
    pixels[5:10, 5:20] = (255, 0, 0)
    with pytest.raises(ValueError, match="coloured annotation on white"):
        foreground_of(Image.fromarray(pixels))
    assert foreground_of(Image.fromarray(255 - pixels)).mask.sum() == 5 * 15  # cyan on black is a mask


def test_photograph_is_refused_as_such() -> None:
    """A mask painted over it, or the photograph itself; blurred flat colours are no photograph."""
    pixels = np.random.default_rng(0).integers(20, 230, (60, 60, 3), dtype=np.uint8)
    pixels[20:30, 20:40] = (255, 0, 0)
    for picture in (Image.fromarray(pixels), Image.fromarray(pixels).convert("RGBA")):
        with pytest.raises(ValueError, match="a photograph, perhaps with the mask painted over it"):
            foreground_of(picture)
    flat = np.zeros((60, 60, 3), np.uint8)
    flat[10:50, 10:50] = (200, 30, 30)
    assert foreground_of(Image.fromarray(flat), lossy=True).mask.sum() == 1600
