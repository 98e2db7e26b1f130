"""Reading images and masks of every kind, and the one line that a bad file gives."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gpoa.config import ReadingConfig
from gpoa.datasets import image_io, intensity, raster
from gpoa.datasets.image_io import image_size, load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import ImageError, MaskError
from tests.datasets.files import one_line, store

ORIENTATION = 0x0112


@pytest.mark.parametrize(
    ("picture", "name", "expected"),
    [
        (Image.new("L", (3, 2), 7), "a.png", (7, 7, 7)),
        (Image.new("1", (3, 2), 1), "a.png", (255, 255, 255)),
        (Image.new("RGB", (3, 2), (1, 2, 3)).quantize(4), "a.png", (1, 2, 3)),  # palette
        (Image.new("RGBA", (3, 2), (10, 20, 30, 255)), "a.png", (10, 20, 30)),
        (Image.new("RGBA", (3, 2), (10, 20, 30, 0)), "a.png", (255, 255, 255)),  # transparent: white
        (Image.new("LA", (3, 2), (0, 51)), "a.png", (204, 204, 204)),  # a fifth of black on white
        (Image.new("CMYK", (3, 2), (0, 0, 0, 0)), "a.tif", (255, 255, 255)),
        (Image.new("RGB", (3, 2), (1, 2, 3)), "a.bmp", (1, 2, 3)),
        (Image.new("RGB", (3, 2), (1, 2, 3)), "ä b.png", (1, 2, 3)),
        (Image.new("I;16", (3, 2), 900), "a.png", (0, 0, 0)),  # constant 16 bits: no range to stretch
        (Image.new("LAB", (3, 2), (255, 128, 128)), "a.tif", None),
    ],
)
def test_load_image_modes(tmp_path: Path, picture: Image.Image, name: str, expected: tuple | None) -> None:
    """Every mode becomes [H, W, 3] uint8, sizes (H, W)."""
    image = load_image(store(tmp_path / name, picture))
    assert image.shape == (2, 3, 3) and image.dtype == np.uint8 and image.flags.writeable
    if expected is not None:
        assert (image == expected).all()


def test_load_image_cmyk_jpeg(tmp_path: Path) -> None:
    """Print files: no ink is white."""
    image = load_image(store(tmp_path / "a.jpg", Image.new("CMYK", (16, 8), (0, 0, 0, 0))))
    assert image.shape == (8, 16, 3) and image.min() > 250


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.array([[1000, 1510, 2020]], np.uint16), "a.png"),
        (np.array([[1000, 1510, 2020]], np.uint16), "a.tif"),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), "a.tif"),
        (np.array([[-100, 0, 100]], np.int32), "a.tif"),
        (np.array([[np.nan, 0.5, np.inf, 0.0, 1.0]], np.float32), "a.tif"),
    ],
)
def test_load_image_stretches_deep_grey(tmp_path: Path, values: np.ndarray, name: str) -> None:
    """The used range becomes 0..255, in all three channels alike."""
    image = load_image(store(tmp_path / name, values))
    assert (image == image[..., :1]).all()
    assert image[0, :3, 0].tolist() == [0, 128, 255]


def test_load_image_big_endian_tiff(tmp_path: Path) -> None:
    """I;16B."""
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 300]], dtype=">u2"), byteorder=">")
    assert load_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    """The marked corner of an upright 16 x 32 image stays where it is, for image, mask and size."""
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255
    turned_back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Image.Transpose values
    picture = Image.fromarray(upright)
    picture = picture if turned_back is None else picture.transpose(Image.Transpose(turned_back))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if name.endswith("webp") else {}
    path = store(tmp_path / name, picture, exif=exif, **options)
    assert image_size(path) == (16, 32)
    assert load_image(path).shape == (16, 32, 3)
    assert (load_mask(path, (16, 32)) == (upright[..., 0] > 0)).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_malformed_exif_is_no_obstacle(tmp_path: Path) -> None:
    """Pixels count; a broken EXIF block reads as upright."""
    path = store(tmp_path / "a.jpg", np.zeros((8, 16, 3), np.uint8), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert load_image(path).shape == (8, 16, 3)
    assert image_size(path) == (8, 16)


def truncated(path: Path) -> Path:
    """A PNG or JPEG of noise that lacks its second half."""
    store(path, np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def bad_file(kind: str, folder: Path) -> Path:
    """A file that is no image, of the given kind."""
    path = folder / f"{kind}.png"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("hello")
    elif kind == "corrupt":
        store(path, np.zeros((8, 8), np.uint8))
        data = bytearray(path.read_bytes())
        data[20:] = b"\x00" * (len(data) - 20)
        path.write_bytes(bytes(data))
    elif kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        truncated(path)
    elif kind == "truncated-jpeg":
        path = truncated(folder / "a.jpg")
    return path


BAD_KINDS = {
    "missing": "no such file",
    "empty": "0 bytes",
    "text": "not an image",
    "corrupt": "corrupt|not an image",
    "truncated": "truncated",
    "truncated-jpeg": "truncated",
    "folder": "is a folder",
}


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_bad_image_gives_one_line(tmp_path: Path, kind: str) -> None:
    """ImageError for images, MaskError for masks, with the path and a remedy."""
    path = bad_file(kind, tmp_path)
    with pytest.raises(ImageError, match=BAD_KINDS[kind]) as info:
        load_image(path)
    assert ";" in one_line(info, path)
    with pytest.raises(MaskError, match=BAD_KINDS[kind]) as info:
        load_mask(path)
    assert ";" in one_line(info, path)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder"])
def test_bad_image_has_no_size(tmp_path: Path, kind: str) -> None:
    """The header says enough."""
    path = bad_file(kind, tmp_path)
    with pytest.raises(ImageError, match=BAD_KINDS[kind]) as info:
        image_size(path)
    one_line(info, path)


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "f2", "f4", "f8"])
def test_every_number_type_is_stretched(tmp_path: Path, dtype: str) -> None:
    """Pillow knows few of them; int8 does not wrap."""
    low = 0 if dtype.startswith("u") else -60
    tifffile.imwrite(tmp_path / "a.tif", np.array([[low, low + 40, low + 80]] * 2, dtype), photometric="minisblack")
    assert load_image(tmp_path / "a.tif")[1].tolist() == [[0] * 3, [128] * 3, [255] * 3]


def test_complex_values_are_refused(tmp_path: Path) -> None:
    """They have no single intensity."""
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 4), np.complex64))
    with pytest.raises(ImageError, match="complex64 cannot be shown; store magnitude") as info:
        load_image(tmp_path / "a.tif")
    one_line(info, tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_16_bit_colour_of_12_bit_values_is_not_black(tmp_path: Path, name: str) -> None:
    """Pillow keeps the upper 8 bits, which are nearly nothing here; the three colours share one window."""
    values = np.zeros((2, 3, 3), np.uint16)
    values[0] = [[4095, 0, 0], [0, 2047, 0], [0, 0, 1024]]
    write_deep(tmp_path / name, values)
    assert load_image(tmp_path / name)[0].tolist() == [[255, 0, 0], [0, 127, 0], [0, 0, 64]]


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_16_bit_colour_with_alpha_lies_on_white(tmp_path: Path, name: str) -> None:
    """Opaque, a fifth, and nothing of black."""
    values = np.zeros((1, 3, 4), np.uint16)
    values[0, :, 3] = [65535, 13107, 0]
    write_deep(tmp_path / name, values)
    assert load_image(tmp_path / name)[0, :, 0].tolist() == [0, 204, 255]


def write_deep(path: Path, values: np.ndarray) -> None:
    """16-bit colour, with alpha where there are four channels."""
    if path.suffix == ".tif":
        extra = {"extrasamples": ["unassalpha"]} if values.shape[2] == 4 else {}
        tifffile.imwrite(path, values, photometric="rgb", **extra)
        return
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 6 if channels == 4 else 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)


def test_large_transparent_image_needs_little_memory(tmp_path: Path) -> None:
    """Decoded it takes 4 bytes a pixel and as RGB 3 more; in one piece its copies took 26."""
    side = 5000
    path = store(tmp_path / "a.png", Image.new("RGBA", (side, side), (10, 20, 30, 0)), compress_level=1)
    code = (
        "import resource, sys; from gpoa.datasets.image_io import load_image; import scipy, PIL.PngImagePlugin\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "image = load_image(sys.argv[1])\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / image.shape[0] / image.shape[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
    assert float(done.stdout) < 14, done.stderr


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "CMYK", "RGB", "1"])
def test_strips_give_what_one_piece_gives(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA").convert("RGB") if mode in ("P", "CMYK") else Image.fromarray(noise, "RGBA")
    path = store(tmp_path / "a.tif", picture.convert(mode))
    whole = load_image(path)
    monkeypatch.setattr(intensity, "STRIP", 14)
    assert (load_image(path) == whole).all()


def test_large_image_without_warning(tmp_path: Path) -> None:
    """24 megapixels, and a lowered limit of the caller's that is neither used nor lost."""
    path = store(tmp_path / "a.png", Image.new("L", (6000, 4000)), compress_level=1)
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 1000
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert load_image(path).shape == (4000, 6000, 3)
            assert image_size(path) == (4000, 6000)
            assert load_mask(path, allow_empty=True).shape == (4000, 6000)
        assert Image.MAX_IMAGE_PIXELS == 1000
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_too_large_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its pixels are decoded."""
    monkeypatch.setattr(image_io, "MAX_PIXELS", 5)
    path = store(tmp_path / "a.png", np.zeros((2, 3), np.uint8))
    for read in (load_image, image_size):
        with pytest.raises(ImageError, match=r"3x2 \(width x height\) is more than 5 pixels; scale") as info:
            read(path)
        one_line(info, path)


def test_heic(tmp_path: Path) -> None:
    """Of an iPhone; lossy, so nearly."""
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 40, 40))).save(tmp_path / "a.heic")
    image = load_image(tmp_path / "a.heic")
    assert image.shape == (48, 64, 3) and np.abs(image.astype(int) - (200, 40, 40)).max() < 8


def test_heic_without_its_package_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypnone")
    with pytest.raises(ImageError, match=r"HEIC needs .*pillow-heif; run: pip install 'gpoa\[science\]'") as info:
        load_image(tmp_path / "a.heic")
    one_line(info, tmp_path / "a.heic")


def test_channels_of_an_8_bit_picture(tmp_path: Path) -> None:
    """Blue alone as grey; red and blue exchanged; a fourth there is not."""
    path = store(tmp_path / "a.png", Image.new("RGB", (3, 2), (1, 2, 3)))
    assert (load_image(path, ReadingConfig(channels=(2,))) == 3).all()
    assert (load_image(path, ReadingConfig(channels=(2, 1, 0))) == (3, 2, 1)).all()
    with pytest.raises(ImageError, match="--channels 3: the image has 3 channels") as info:
        load_image(path, ReadingConfig(channels=(3,)))
    one_line(info, path)


def test_a_page_that_takes_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its decoded size, not by its pixels."""
    monkeypatch.setattr(raster, "MAX_BYTES", 1 << 10)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 40)))
    with pytest.raises(ImageError, match="one page of 30x40 float64 values takes .* GB, more .*; scale it") as info:
        load_image(tmp_path / "a.tif")
    one_line(info, tmp_path / "a.tif")
