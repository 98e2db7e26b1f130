"""What a folder says about its model, read without any library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.errors import ModelError
from gpoa.features.vit_kinds import BICUBIC, BILINEAR, KINDS, Pixels, read_pixels, read_shape, stretch

DINOV2 = {"model_type": "dinov2", "patch_size": 14, "num_hidden_layers": 12}
IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), BICUBIC)


def _write(folder: Path, name: str, content: object) -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DINOV2, (14, 12, 1)),
        ({**DINOV2, "patch_size": [14, 14]}, (14, 12, 1)),  # a pair of equal sides
        ({**DINOV2, "model_type": "dinov2_with_registers", "num_register_tokens": 4}, (14, 12, 5)),
        ({**DINOV2, "model_type": "dinov3_vit", "patch_size": 16, "num_register_tokens": 4}, (16, 12, 5)),
        ({**DINOV2, "model_type": "deit", "patch_size": 16}, (16, 12, 2)),
        ({"model_type": "siglip", "vision_config": {"patch_size": 16, "num_hidden_layers": 27}}, (16, 27, 0)),
        # As the hub has it: all that is as usual is left out.
        ({"model_type": "siglip", "vision_config": {"model_type": "siglip_vision_model"}}, (16, 12, 0)),
        ({"model_type": "clip", "vision_config": {"num_hidden_layers": 24, "patch_size": 14}}, (14, 24, 1)),
        ({"model_type": "dinov2_with_registers", "patch_size": 14}, (14, 12, 5)),  # the library's depth and registers
    ],
)
def test_shapes(tmp_path: Path, config: dict, expected: tuple[int, int, int]) -> None:
    shape = read_shape(_write(tmp_path, "config.json", config))
    assert shape[1:] == expected
    assert shape.kind is KINDS[config["model_type"]]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "missing or damaged"),  # cut off
        ("[]", "a list, not an object"),
        ("\x00\x01", "missing or damaged"),
        ({"patch_size": 14}, "is of a None model; a feature model is one of dinov2, dinov2_with_registers, dinov3_vit"),
        ({**DINOV2, "model_type": "sam"}, "is of a 'sam' model"),
        ({**DINOV2, "model_type": ["dinov2"]}, r"is of a \['dinov2'\] model"),
        ({**DINOV2, "patch_size": "big"}, "damaged"),
        ({**DINOV2, "patch_size": None}, "damaged"),
        ({**DINOV2, "patch_size": 0}, "damaged"),
        ({**DINOV2, "patch_size": [14, 16]}, "damaged"),  # not square
        ({**DINOV2, "patch_size": []}, "damaged"),
        ({**DINOV2, "num_hidden_layers": 0}, "damaged"),
        ({"model_type": "clip"}, "damaged .*vision_config"),
        ({"model_type": "clip", "vision_config": 3}, "damaged"),
    ],
)
def test_no_vit_there(tmp_path: Path, config: object, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        read_shape(_write(tmp_path, "config.json", config))
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="config.json: missing"):
        read_shape(tmp_path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (None, IMAGENET),  # no file: as the kind was trained
        ({}, IMAGENET),
        ({"image_mean": [0.5, 0.5, 0.5], "resample": 2}, Pixels((0.5, 0.5, 0.5), IMAGENET.std, BILINEAR)),
        ({"do_normalize": False, "image_mean": [9, 9, 9]}, Pixels((0, 0, 0), (1, 1, 1), BICUBIC)),
        ({"rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}, "do_center_crop": True}, IMAGENET),
    ],
)
def test_pixels(tmp_path: Path, values: dict | None, expected: Pixels) -> None:
    if values is not None:
        _write(tmp_path, "preprocessor_config.json", values)
    assert read_pixels(tmp_path, KINDS["dinov2"]) == expected


@pytest.mark.parametrize(
    "values",
    [
        "{",
        "[]",
        {"image_mean": [0.5, 0.5]},
        {"image_mean": 0.5},
        {"image_std": [1, 0, 1]},
        {"image_std": None},
        {"resample": 17},
        {"resample": "bicubic"},
        {"rescale_factor": 1.0},
    ],
)
def test_pixels_that_cannot_be_made(tmp_path: Path, values: object) -> None:
    with pytest.raises(ModelError, match=r"preprocessor_config.json: (cannot be followed|missing or dam)") as raised:
        read_pixels(_write(tmp_path, "preprocessor_config.json", values), KINDS["dinov2"])
    assert "\n" not in str(raised.value)


def test_to_input_by_hand() -> None:
    image = np.array([[[0, 255, 51]]], np.uint8)
    made = Pixels((0.5, 0.0, 0.2), (0.5, 1.0, 0.1), BILINEAR).to_input(image, 2)
    assert (made.shape, made.dtype) == ((1, 3, 2, 2), np.float32)
    np.testing.assert_allclose(made[0, :, 1, 0], [-1, 1, 0], atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([BILINEAR, BICUBIC]))
def test_stretch(height: int, width: int, resampling: int) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    image[..., 1] = 200
    made = stretch(image, 12, resampling)
    assert (made.shape, made.dtype) == ((12, 12, 3), np.uint8)
    assert (made == np.array([77, 200, 77])).all()
    exact = np.random.default_rng(height).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(stretch(exact, 12, resampling), exact)  # tiles rest on this


def test_reading_loads_no_library(tmp_path: Path) -> None:
    """A run whose tokens are cached does not wait for transformers."""
    _write(tmp_path, "config.json", DINOV2)
    code = (
        "import sys; from pathlib import Path; from gpoa.features.hf_vit import HfVit\n"
        "print(HfVit(Path(sys.argv[1]), 'w', 448, (9, 12)).model_id, {'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "w@448/9+12 set()"
