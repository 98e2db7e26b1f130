"""Masks from files of every kind, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from gpoa.datasets.mask_io import load_mask, read_foreground, save_mask
from gpoa.datasets.options import MaskOptions
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
    assert load_mask(path, options=MaskOptions(label=4)).tolist() == [[False, False, True]]
    with pytest.raises(MaskError, match="no pixel has the label 9; the mask holds 0, 1, 4") as info:
        load_mask(path, options=MaskOptions(label=9))
    one_line(info, path)


def test_label_of_coloured_mask(tmp_path: Path) -> None:
    """One line, not a ValueError."""
    path = store(tmp_path / "m.png", Image.new("RGB", (2, 2), (1, 2, 3)))
    with pytest.raises(MaskError, match="no label numbers") as info:
        load_mask(path, options=MaskOptions(label=1))
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


@pytest.mark.parametrize("kind", ["uncompressed", "deflate", "fax"])
def test_boolean_tiff_is_not_inverted(tmp_path: Path, kind: str) -> None:
    """Array libraries say "white is zero" and mean True; what Pillow packs for fax looks as it was painted."""
    tifffile = pytest.importorskip("tifffile")
    mask, path = np.zeros((20, 30), bool), tmp_path / "m.tif"
    mask[2:5, 3:9] = True
    if kind == "fax":
        Image.fromarray(mask).save(path, compression="group4")
    else:
        tifffile.imwrite(path, mask, compression="zlib" if kind == "deflate" else None)
    assert (load_mask(path) == mask).all()


@pytest.mark.parametrize("dtype", ["uint16", "int32", "uint32", "int64", "float32", "float64"])
@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_wide_label_files(tmp_path: Path, dtype: str, suffix: str) -> None:
    """Ids with gaps and above 65,535, in every type that array libraries write."""
    tifffile = pytest.importorskip("tifffile")
    big = 62000 if dtype == "uint16" else 70000
    values = np.array([[0, 1, 300], [big, big, 0]], dtype)
    path = tmp_path / f"m.{suffix}"
    tifffile.imwrite(path, values) if suffix == "tif" else np.save(path, values)
    assert load_mask(path, (2, 3)).tolist() == [[False, True, True], [True, True, False]]
    assert load_mask(path, options=MaskOptions(label=big)).sum() == 2
    assert read_foreground(path).ids.tolist() == [1, 300, big]


def test_numpy_files_that_are_no_mask(tmp_path: Path) -> None:
    """Another shape, no array, no file: one line each."""
    np.save(tmp_path / "rgb.npy", np.zeros((4, 5, 3)))
    (tmp_path / "text.npy").write_text("abc")
    for name, match in (("rgb", r"shape \(4, 5, 3\)"), ("text", "not a mask array"), ("none", "no such file")):
        with pytest.raises(MaskError, match=match) as info:
            load_mask(tmp_path / f"{name}.npy")
        one_line(info, tmp_path / f"{name}.npy")


def test_ways_through_masks_without_zero(tmp_path: Path) -> None:
    """ilastik's 1 and 2, and probabilities: the refusal names the flags, and they work."""
    path = store(tmp_path / "ilastik.png", np.array([[1, 2, 1]], np.uint8))
    with pytest.raises(MaskError, match=r"no background \(it holds 1, 2\); choose with --label 2 ") as info:
        load_mask(path)
    one_line(info, path)
    assert load_mask(path, options=MaskOptions(label=2)).tolist() == [[False, True, False]]
    soft = tmp_path / "soft.npy"
    np.save(soft, np.array([[0.1, 0.4, 0.5, 0.7, 0.9]], np.float32))
    with pytest.raises(MaskError, match=r"5 values from 0\.1 to 0\.9\); choose with --mask-threshold 0\.5"):
        load_mask(soft)
    assert load_mask(soft, options=MaskOptions(mask_threshold=0.5)).tolist() == [[False, False, True, True, True]]
    with pytest.raises(MaskError, match="no pixel reaches --mask-threshold 2"):
        load_mask(soft, options=MaskOptions(mask_threshold=2))
    with pytest.raises(MaskError, match="with these flags every pixel is object"):
        load_mask(soft, options=MaskOptions(mask_threshold=0))


def test_inverted_mask(tmp_path: Path) -> None:
    """The rest of the picture."""
    path = store(tmp_path / "m.png", np.array([[0, 255, 255]], np.uint8))
    assert load_mask(path, options=MaskOptions(invert_mask=True)).tolist() == [[True, False, False]]


def test_annotations_are_called_what_they_are(tmp_path: Path) -> None:
    """Red on white used to be "covers the whole image"."""
    pixels = np.full((20, 30, 3), 255, np.uint8)
    pixels[5:10, 5:20] = (255, 0, 0)
    path = store(tmp_path / "m.png", pixels)
    with pytest.raises(MaskError, match="annotation on white") as info:
        load_mask(path)
    one_line(info, path)
