"""Masks from files of every kind, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from gpoa.datasets.mask_io import load_mask, save_mask
from gpoa.errors import DataError, MaskError
from tests.datasets.files import one_line, store


def test_mask_of_other_size(tmp_path: Path) -> None:
    """Both sizes and the remedy."""
    path = store(tmp_path / "m.png", np.eye(3, 4, dtype=np.uint8) * 255)
    with pytest.raises(MaskError, match="the mask is 4x3 but its image is 8x6 .*resize it") as info:
        load_mask(path, (6, 8))
    one_line(info, path)
    with pytest.raises(MaskError, match="EXIF orientation turns it") as info:
        load_mask(path, (4, 3))
    one_line(info, path)


def test_empty_and_full_masks(tmp_path: Path) -> None:
    """Refused unless allowed; `allow_full` follows `allow_empty` unless it is given."""
    empty = store(tmp_path / "empty.png", np.zeros((2, 3), np.uint8))
    full = store(tmp_path / "full.png", np.full((2, 3), 255, np.uint8))
    with pytest.raises(MaskError, match="the mask is empty") as info:
        load_mask(empty)
    one_line(info, empty)
    with pytest.raises(MaskError, match="covers the whole image; gpoa needs background too") as info:
        load_mask(full)
    one_line(info, full)
    assert not load_mask(empty, allow_empty=True).any()
    assert load_mask(full, allow_empty=True).all() and load_mask(full, allow_full=True).all()
    with pytest.raises(MaskError, match="whole image"):
        load_mask(full, allow_empty=True, allow_full=False)


def test_label_that_is_not_there(tmp_path: Path) -> None:
    """Says which labels there are."""
    path = store(tmp_path / "m.png", np.array([[0, 1, 4]], np.uint8))
    assert load_mask(path, label=4).tolist() == [[False, False, True]]
    with pytest.raises(MaskError, match="no pixel has the label 9; the mask holds 0, 1, 4") as info:
        load_mask(path, label=9)
    one_line(info, path)


def test_label_of_coloured_mask(tmp_path: Path) -> None:
    """One line, not a ValueError."""
    path = store(tmp_path / "m.png", Image.new("RGB", (2, 2), (1, 2, 3)))
    with pytest.raises(MaskError, match="no label numbers") as info:
        load_mask(path, label=1)
    one_line(info, path)


@pytest.mark.parametrize("suffix", ["jpg", "gif", "bmp", "tif", "webp", "png"])
def test_mask_formats(tmp_path: Path, suffix: str) -> None:
    """A disc survives every format; JPEG to a pixel or two at its border."""
    y, x = np.mgrid[:60, :80]
    disc = (x - 40) ** 2 + (y - 25) ** 2 < 300
    mask = load_mask(store(tmp_path / f"m.{suffix}", disc.astype(np.uint8) * 255), (60, 80))
    assert (mask != disc).sum() <= (20 if suffix == "jpg" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16", "F"])
def test_mask_modes(tmp_path: Path, mode: str) -> None:
    """0 and 1 (or full) in every mode that files have."""
    grey = Image.fromarray(np.array([[0, 255, 0], [255, 255, 0]], np.uint8))
    picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    assert picture.mode == mode
    mask = load_mask(store(tmp_path / ("m.tif" if mode == "F" else "m.png"), picture))
    assert mask.tolist() == [[False, True, False], [True, True, False]]


@settings(deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_save_mask_round_trip(tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray) -> None:
    """What is written is read back, as 0/255, and nothing else is left in the folder."""
    folder = tmp_path_factory.mktemp("masks")
    save_mask(folder / "new" / "a b.png", mask)
    assert (load_mask(folder / "new" / "a b.png", mask.shape, allow_empty=True) == mask).all()
    assert set(np.unique(np.asarray(Image.open(folder / "new" / "a b.png")))) <= {0, 255}
    assert [path.name for path in (folder / "new").iterdir()] == ["a b.png"]


def test_save_mask_refuses_other_arrays(tmp_path: Path) -> None:
    """Logits or 0/255 by mistake."""
    with pytest.raises(ValueError, match="expected .H, W. bool"):
        save_mask(tmp_path / "m.png", np.zeros((2, 2)))


def test_save_mask_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written") as info:
        save_mask(tmp_path / "file" / "m.png", np.ones((2, 2), bool))
    one_line(info, tmp_path / "file" / "m.png")
