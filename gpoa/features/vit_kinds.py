"""Which vision transformers of `transformers` are run, and what differs between them: one more kind is one more entry.

A model's folder says in `config.json` of which kind it is, and in `preprocessor_config.json`, where it has one, what
its pixels are to be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.models.hf_loading import import_transformers

BILINEAR, BICUBIC = 2, 3
"""Pillow's numbers for the resamplings, which `preprocessor_config.json` uses, too."""


@dataclass(frozen=True)
class Pixels:
    """What becomes of an image's pixels before the model sees them.

    Args:
        mean: of each channel, in units of the full range.
        std: likewise.
        resampling: Pillow's number of the filter by which the image is stretched.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resampling: int

    def to_input(self, image: np.ndarray, side: int) -> np.ndarray:
        """Stretches to a square and normalises.

        Args:
            image: [H, W, 3] uint8 RGB.
            side: of the square, in pixels.

        Returns:
            [1, 3, side, side] float32.
        """
        scaled: np.ndarray = np.asarray(stretch(image, side, self.resampling), dtype=np.float32) / 255.0
        scaled = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def stretch(image: np.ndarray, side: int, resampling: int) -> np.ndarray:
    """Resizes an image to a square, whatever its shape: [H, W, 3] uint8 -> [side, side, 3] uint8."""
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling(resampling)))


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@dataclass(frozen=True)
class VitKind:
    """How `transformers` runs one kind of vision transformer.

    Args:
        class_name: its class there.
        pixels: with which it was trained, for folders that do not say.
        prefix: tokens before the patches' own, registers not counted.
        norm: attribute of the last layer norm; None where the class returns patch tokens without one.
        section: the part of `config.json` that describes the vision model; None is all of it.
        interpolate: `interpolate_pos_encoding=True` must be asked for (the others interpolate, or have no need to).
        whole: the model drops patches at random while it trains, and is told to keep all in their order.
        build: further arguments of `from_pretrained`.
    """

    class_name: str
    pixels: Pixels
    prefix: int = 1
    norm: str | None = "layernorm"
    section: str | None = None
    interpolate: bool = True
    whole: bool = False
    build: Mapping[str, Any] = field(default_factory=dict)


_NO_POOLER = {"add_pooling_layer": False}
_CLIP = VitKind("CLIPVisionModel", Pixels(*_OPENAI, BICUBIC), norm=None)
_SIGLIP = VitKind("SiglipVisionModel", Pixels(*_HALVES, BICUBIC), prefix=0, norm="post_layernorm")

KINDS: dict[str, VitKind] = {
    # Oquab et al. 2023, arXiv:2304.07193; registers: Darcet et al. 2023, arXiv:2309.16588
    "dinov2": VitKind("Dinov2Model", Pixels(*_IMAGENET, BICUBIC), interpolate=False),
    "dinov2_with_registers": VitKind("Dinov2WithRegistersModel", Pixels(*_IMAGENET, BICUBIC), interpolate=False),
    # Siméoni et al. 2025, arXiv:2508.10104; its rotary position embedding fits any size
    "dinov3_vit": VitKind("DINOv3ViTModel", Pixels(*_IMAGENET, BILINEAR), norm="norm", interpolate=False),
    # Dosovitskiy et al. 2021, arXiv:2010.11929; DINO's and other checkpoints are filed as `vit`, too
    "vit": VitKind("ViTModel", Pixels(*_HALVES, BILINEAR), build=_NO_POOLER),
    # He et al. 2022, arXiv:2111.06377
    "vit_mae": VitKind("ViTMAEModel", Pixels(*_IMAGENET, BICUBIC), whole=True, build={"mask_ratio": 0.0}),
    # Assran et al. 2022, arXiv:2204.07141
    "vit_msn": VitKind("ViTMSNModel", Pixels(*_IMAGENET, BICUBIC)),
    # Assran et al. 2023, arXiv:2301.08243
    "ijepa": VitKind("IJepaModel", Pixels(*_IMAGENET, BICUBIC), prefix=0),
    # Touvron et al. 2021, arXiv:2012.12877; a class token and a distillation token
    "deit": VitKind("DeiTModel", Pixels(*_IMAGENET, BICUBIC), prefix=2, build=_NO_POOLER),
    # Bao et al. 2022, arXiv:2106.08254
    "beit": VitKind("BeitModel", Pixels(*_HALVES, BICUBIC), build=_NO_POOLER),
    # Radford et al. 2021, arXiv:2103.00020
    "clip_vision_model": _CLIP,
    "clip": VitKind(_CLIP.class_name, _CLIP.pixels, norm=None, section="vision_config"),
    # Zhai et al. 2023, arXiv:2303.15343
    "siglip_vision_model": _SIGLIP,
    "siglip": VitKind(_SIGLIP.class_name, _SIGLIP.pixels, prefix=0, norm="post_layernorm", section="vision_config"),
}
"""`model_type` in `config.json` -> how it is run."""


class VitShape(NamedTuple):
    """What a folder's `config.json` says.

    Args:
        kind: of the model.
        patch_size: side of a patch in pixels.
        depth: number of layers.
        prefix: tokens before the patches' own, registers counted.
    """

    kind: VitKind
    patch_size: int
    depth: int
    prefix: int


def read_shape(folder: Path) -> VitShape:
    """Reads what a folder holds, without loading any library.

    Args:
        folder: with the `config.json` of a vision transformer of `transformers`.

    Returns:
        The shape.

    Raises:
        ModelError: there is no readable `config.json`, or it is of a model that is not known here.
    """
    path = Path(folder) / "config.json"
    values = _read_json(path, "it must name its model_type")
    name = values.get("model_type")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ModelError(f"{path}: is of a {name!r} model; a feature model is one of {', '.join(KINDS)}")
    try:
        part = values[kind.section] if kind.section else values
        if not {"patch_size", "num_hidden_layers"} <= set(part):
            part = _library_defaults(kind) | part  # what is as usual is left out of some files
        patch = part["patch_size"]
        sides = {int(side) for side in patch} if isinstance(patch, list) else {int(patch)}
        shape = VitShape(
            kind, max(sides), int(part["num_hidden_layers"]), kind.prefix + int(part.get("num_register_tokens", 0))
        )
        if len(sides) > 1 or shape.patch_size < 1 or shape.depth < 1:
            raise ValueError(f"patch_size {patch}, num_hidden_layers {shape.depth}")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: damaged ({one_line(error)}); fetch the model again") from error
    return shape


def read_pixels(folder: Path, kind: VitKind) -> Pixels:
    """Reads how a folder's model wants its pixels; its sizes and crops are not ours: the whole image is stretched.

    Args:
        folder: of the model.
        kind: whose pixels are taken where there is no `preprocessor_config.json`.

    Returns:
        The pixels.

    Raises:
        ModelError: the file is damaged, or asks for something else than a mean and a deviation.
    """
    path = Path(folder) / "preprocessor_config.json"
    if not path.is_file():
        return kind.pixels
    values = _read_json(path, "fetch the model again, or remove the file")
    try:
        mean, std = values.get("image_mean", kind.pixels.mean), values.get("image_std", kind.pixels.std)
        if not values.get("do_normalize", True):
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        made = Pixels(_three(mean), _three(std), int(values.get("resample", kind.pixels.resampling)))
        scale = float(values.get("rescale_factor", 1 / 255))
        if made.resampling not in range(6) or min(made.std) <= 0 or not math.isclose(scale, 1 / 255, rel_tol=1e-3):
            raise ValueError(f"resample {made.resampling}, image_std {made.std}, rescale_factor {scale}")
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path}: cannot be followed ({one_line(error)})") from error
    return made


def _three(values: Any) -> tuple[float, float, float]:
    """Three channels' values; ValueError or TypeError where there are not three numbers."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object from a file; ModelError where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TypeError(f"a {type(values).__name__}, not an object")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: missing or damaged ({one_line(error)}); {remedy}") from error
    return values


def _library_defaults(kind: VitKind) -> dict[str, Any]:
    """The values that transformers takes where a `config.json` has none; empty where the class is too new for it."""
    built = getattr(import_transformers(), kind.class_name, None)
    return {} if built is None else built.config_class().to_dict()
