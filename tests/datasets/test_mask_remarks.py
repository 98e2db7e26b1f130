"""What is said of a reference mask before it is used."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.datasets.mask_remarks import describe_mask
from gpoa.datasets.mask_values import foreground_of_values
from gpoa.datasets.options import NO_OPTIONS, MaskOptions


def lines(values: np.ndarray, options: MaskOptions = NO_OPTIONS, lossy: bool = False, name: str = "") -> list[str]:
    """The remarks on a mask of these values."""
    return describe_mask(foreground_of_values(values, options, lossy), options, name)


def block(value: int, dtype: type = np.uint8) -> np.ndarray:
    """100 x 100 with 740 pixels of a value."""
    values = np.zeros((100, 100), dtype)
    values[10:30, 20:57] = value
    return values


def test_plain_mask() -> None:
    """One line: its share of the image."""
    assert lines(block(255)) == ["reference mask: 7.4 % of the image is object"]
    assert lines(block(255), name="a.png") == ["reference mask a.png: 7.4 % of the image is object"]


def test_other_values_name_the_rule() -> None:
    """0/1 is fine, but a user should see which rule read it."""
    share = "reference mask: 7.4 % of the image is object"
    assert lines(block(1)) == [f"{share} (every value above 0 counts, the values are 0 and 1)"]
    assert lines(block(3), MaskOptions(label=3)) == [f"{share} (the value 3 counts)"]


def test_several_ids() -> None:
    """All of them count, and the flag that takes one is named."""
    values = block(3)
    values[50:60, 50:60] = 7
    values[70:72, 0] = 200
    assert lines(values)[1] == (
        "reference mask: it holds 3 ids (3, 7, 200), all taken as object; --label 3 takes one of them"
    )
    many = np.arange(10000, dtype=np.uint16).reshape(100, 100)
    assert "9999 ids (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ... 9999 (9999 values))" in lines(many)[1]


def test_inverted() -> None:
    """More than half of the image is object; not where the user turned it round."""
    hint = "reference mask: it covers most of the image; if it marks the background, --invert-mask turns it round"
    assert hint in lines(255 - block(255))
    assert len(lines(block(255), MaskOptions(invert_mask=True))) == 1


def test_stray_pixels_and_noise() -> None:
    """A few 1s on an empty mask, JPEG noise below 60: the rule, the share, and what it may be."""
    values = np.zeros((200, 200), np.uint8)
    values[3, 4] = values[90, 7] = 1
    first, second = lines(values)
    assert (
        first == "reference mask: 0.005 % of the image is object (every value above 0 counts, the values are 0 and 1)"
    )
    assert second == "reference mask: only 2 pixels: if these are noise, the mask is empty"
    noise = np.zeros((200, 200), np.uint8)
    noise[:50, :50] = np.arange(2500).reshape(50, 50) % 60
    assert "(values from 29.5 on count)" in lines(noise, lossy=True)[0]
    assert "brightest value is 59" in lines(noise, lossy=True)[1]


@pytest.mark.parametrize(("thickness", "said"), [(1, True), (3, True), (30, False)])
def test_outline(thickness: int, said: bool) -> None:
    """A closed line without filling; a thick ring is an object."""
    y, x = np.mgrid[:200, :200]
    distance = np.hypot(x - 100, y - 100)
    values = ((distance < 80) & (distance >= 80 - thickness)).astype(np.uint8) * 255
    assert any("looks like an outline" in line for line in lines(values)) is said
