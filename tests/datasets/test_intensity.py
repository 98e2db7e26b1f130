"""Which values become black and white: outliers and nodata do not count, everything else does."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.datasets.intensity import to_bytes, window_of


def _ramp(dtype: str = "uint16", low: int = 1000, high: int = 3000) -> np.ndarray:
    """[40, 50] values spread evenly from low to high."""
    return np.linspace(low, high, 2000).round().astype(dtype).reshape(40, 50)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "uint64", "float32", "float64"])
def test_without_outliers_the_window_is_the_whole_range(dtype: str) -> None:
    assert window_of(_ramp(dtype)) == (1000, 3000)


@pytest.mark.parametrize("hot", [65535, 8000, 0])
def test_one_hot_pixel_changes_nothing_else(hot: int) -> None:
    values = _ramp()
    before = to_bytes(values, window_of(values))
    values[20, 25] = hot
    after = to_bytes(values, window_of(values))
    changed = np.argwhere(before != after).tolist()
    assert changed == [[20, 25]] and after[20, 25] == (255 if hot else 0)


def test_a_hot_column_changes_nothing() -> None:
    """Two of 2000 pixels, one below the other."""
    values = _ramp()
    values[10:12, 7] = 65535
    assert window_of(values) == (1000, 3000)


@pytest.mark.parametrize("value", [60000, 10])
def test_a_tiny_object_is_no_outlier(value: int) -> None:
    """2 x 2 pixels of 10000."""
    values = np.tile(_ramp(), (5, 1))
    values[3:5, 3:5] = value
    assert window_of(values) == ((1000, value) if value > 3000 else (value, 3000))


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("filling", [-9999, -32768])
def test_a_filling_is_found_without_a_tag(dtype: str, filling: int) -> None:
    """A quarter of the picture."""
    values = _ramp(dtype, 100, 8000)
    values[:10] = filling
    low, high = window_of(values)
    assert (low, high) == (values[10:].min(), 8000)
    assert to_bytes(values, (low, high))[:10].max() == 0


@pytest.mark.parametrize("filling", [np.nan, np.inf, -np.inf, -3.4028235e38, 9.96921e36])
def test_floating_point_fillings(filling: float) -> None:
    values = _ramp("float32")
    values[:10] = filling
    assert window_of(values) == (values[10:].min(), 3000)
    shown = to_bytes(values, window_of(values))[0, 0]
    assert shown == (255 if filling == np.inf else 0)


def test_the_named_filling_is_left_out_and_black() -> None:
    """Zero, in an unsigned picture, is only left out where the file says so."""
    values = _ramp()
    values[:10], values[-1] = 0, 65535
    assert window_of(values)[0] == 0
    assert window_of(values, nodata=0) == (values[10:].min(), 65535)
    assert window_of(values, nodata=65535)[1] == values[:-1].max()
    assert to_bytes(values, (0, 3000), nodata=65535)[-1].max() == 0


@pytest.mark.parametrize(
    ("values", "window"),
    [
        ([[-100, 0, 100]], (-100, 100)),  # three values: nothing is far away
        ([[-1000, -1000, 3000, 0]], (-1000, 3000)),  # computed tomography
        ([[7, 7]], (7, 7)),
        ([[-5, 5]], (-5, 5)),  # two values are a picture, not a filling and a picture
    ],
)
def test_small_pictures_use_all_values(values: list, window: tuple) -> None:
    assert window_of(np.array(values, np.int16)) == window


def test_negative_values_that_form_a_range_stay() -> None:
    assert window_of(_ramp("int16", -1024, 3000)) == (-1024, 3000)


def test_nothing_but_filling_is_black() -> None:
    values = np.full((3, 4), np.nan, np.float32)
    assert window_of(values) == (0, 0)
    assert to_bytes(values, (0, 0)).max() == 0


def test_inverted() -> None:
    assert to_bytes(np.array([[0, 50, 100]]), (0, 100), inverted=True).tolist() == [[255, 127, 0]]
