"""Tiny vision transformers with random weights in the official layouts, and what the library makes of a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.features.hf_vit import HfVit
from tests.segmenters.tiny_models import real_or_none, shake

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 64}
_TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
_DECODER = {
    f"decoder_{name}": value
    for name, value in [("hidden_size", 8), ("num_hidden_layers", 1), ("num_attention_heads", 2)]
}
_BIAS = {"use_relative_position_bias": True, "layer_scale_init_value": 0.1}

# kind -> (class of the official checkpoint, its config beside SHAPE, class and arguments of its processor)
OFFICIAL: dict[str, tuple[str, dict, str, dict]] = {
    "dinov2": ("Dinov2Model", {"patch_size": 14, "image_size": 42}, "BitImageProcessor", {"like": "dinov2"}),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        {"patch_size": 14, "image_size": 42, "num_register_tokens": 4},
        "BitImageProcessor",
        {"like": "dinov2"},
    ),
    "dinov3_vit": ("DINOv3ViTModel", {"num_register_tokens": 4}, "DINOv3ViTImageProcessor", {}),
    "vit": ("ViTForImageClassification", {"patch_size": 8}, "ViTImageProcessor", {}),
    "vit_mae": ("ViTMAEForPreTraining", {"patch_size": 8, **_DECODER}, "ViTImageProcessor", {"like": "mae"}),
    "vit_msn": ("ViTMSNModel", {"patch_size": 8}, "ViTImageProcessor", {}),
    "ijepa": ("IJepaModel", {"patch_size": 8}, "ViTImageProcessor", {}),
    "deit": ("DeiTModel", {"patch_size": 8}, "DeiTImageProcessor", {}),
    "beit": ("BeitModel", {"patch_size": 8, **_BIAS}, "BeitImageProcessor", {}),
    "clip_vision_model": ("CLIPVisionModel", {"patch_size": 8}, "CLIPImageProcessor", {}),
    "clip": ("CLIPModel", {"patch_size": 8}, "CLIPImageProcessor", {}),
    "siglip_vision_model": ("SiglipVisionModel", {"patch_size": 8}, "SiglipImageProcessor", {}),
    "siglip": ("SiglipModel", {"patch_size": 8}, "SiglipImageProcessor", {}),
}
REAL = {
    "dinov2": ("dinov2-small", "dinov2-base", "dinov2-large", "dinov2-giant"),
    "dinov2_with_registers": tuple(f"dinov2-{size}-registers" for size in ("small", "base", "large", "giant")),
    "dinov3_vit": ("dinov3-vits16", "dinov3-vitb16", "dinov3-vitl16"),
}
"""Names of the zoo by kind; a folder of another kind is found by the kind's own name."""
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_LIKE = {
    "dinov2": {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3, **_IMAGENET},
    "mae": {**_IMAGENET},
}


def save_tiny(kind: str, folder: Path) -> Path:
    """Writes a tiny model as the hub has it: `config.json`, `model.safetensors`, `preprocessor_config.json`."""
    import transformers

    class_name, own, processor, settings = OFFICIAL[kind]
    built, values = getattr(transformers, class_name), {**SHAPE, **own}
    if kind in ("clip", "siglip"):
        config = built.config_class(vision_config=values, text_config=_TEXT)
    else:
        config = built.config_class(**values)
    shake(built(config)).save_pretrained(folder)
    arguments = dict(_LIKE.get(settings.get("like", ""), {}))
    getattr(transformers, processor)(**arguments).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a kind, made once."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_tiny(kind, tmp_path_factory.mktemp("vit") / kind)
        return made[kind]

    return folder


def all_folders(tiny: Path, kind: str) -> list[Path]:
    """The tiny model's folder, and those of real models of its kind that are in $GPOA_REAL_WEIGHTS."""
    real = [real_or_none(name) for name in REAL.get(kind, (kind,))]
    return [tiny, *(folder for folder in real if folder is not None)]


def library_tokens(kind: str, folder: Path, pixels: torch.Tensor, depth: int) -> np.ndarray:
    """The library's own output for the patches, of the model cut off after `depth` layers: [P, D], of unit length."""
    import transformers

    cut = {"num_hidden_layers": depth}
    class_name = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}.get(kind)
    built = transformers.AutoModel if class_name is None else getattr(transformers, class_name)
    if class_name is not None:
        config = built.config_class.from_pretrained(folder)
        config.num_hidden_layers = depth
        cut = {"config": config}
    if kind == "vit_mae":
        cut["mask_ratio"] = 0.0
    model = built.from_pretrained(folder, dtype=torch.float32, **cut).eval()
    options = {} if kind.startswith("dino") else {"interpolate_pos_encoding": True}
    with torch.inference_mode():
        answer = model(pixel_values=pixels, **options)
    values = answer.last_hidden_state[0]
    if kind == "vit_mae":  # all patches, in an order drawn at random
        values = torch.cat([values[:1], values[1:][answer.ids_restore[0]]])
    patch = json_of(folder).get("vision_config", json_of(folder))["patch_size"]
    count = (pixels.shape[-1] // patch) ** 2
    return torch.nn.functional.normalize(values[-count:], dim=-1).numpy()  # what is no patch comes first


def library_pixels(folder: Path, image: np.ndarray, side: int) -> torch.Tensor:
    """The library's own processor, told to stretch to a square and not to crop: [1, 3, side, side].

    It is the one on Pillow, where there are two: the models were trained with Pillow's filters. Torchvision's bicubic
    one does not clip between its two passes, which is a few grey levels off where an image is black or white.
    """
    from transformers import AutoImageProcessor, BitImageProcessorPil

    try:
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    except ValueError:  # DINOv3 has none on Pillow
        processor = AutoImageProcessor.from_pretrained(folder)
    except OSError:  # the embedded DINOv2 comes without its preprocessor_config.json
        processor = BitImageProcessorPil(**_LIKE["dinov2"])
    size = {"height": side, "width": side}
    return processor(images=image, size=size, do_center_crop=False, return_tensors="pt")["pixel_values"]


def assert_equals_library(kind: str, folder: Path, image: np.ndarray) -> None:
    """Two layers and the grid, from our own pixels exactly and from the library's nearly."""
    extractor = HfVit(folder, "id", 7 * HfVit(folder, "id", 0, (1,)).patch_size, (2, 3))
    made = extractor.extract(image)
    ours = torch.from_numpy(extractor.pixels.to_input(image, extractor.image_size))
    theirs = library_pixels(folder, image, extractor.image_size)
    joined = [np.concatenate([library_tokens(kind, folder, p, d) for d in (2, 3)], axis=1) for p in (ours, theirs)]
    assert made.tokens.shape == joined[0].shape
    assert made.grid_size == (7, 7)
    np.testing.assert_allclose(made.tokens * np.sqrt(2), joined[0], atol=2e-3)  # half precision
    assert (made.tokens * joined[1]).sum(axis=1).min() / np.sqrt(2) > 0.99  # a grey level here and there
    assert np.unique(made.tokens[:, 0]).size > 10  # patches differ, so equal tokens mean something


def grey_levels(folder: Path, image: np.ndarray, side: int) -> float:
    """By how many grey levels our pixels differ from the library's, at most."""
    pixels = HfVit(folder, "id", HfVit(folder, "id", 0, (1,)).patch_size, (1,)).pixels
    difference = pixels.to_input(image, side) - library_pixels(folder, image, side).numpy()
    return float(np.abs(difference * np.array(pixels.std)[:, None, None]).max() * 255)


def json_of(folder: Path) -> dict:
    """The config of a folder."""
    return json.loads((folder / "config.json").read_text())


def change_config(folder: Path, **values: object) -> None:
    """Writes other values into the config of a folder."""
    (folder / "config.json").write_text(json.dumps({**json_of(folder), **values}))
