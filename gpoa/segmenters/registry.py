"""Segmenters by name: one more backend is one more entry. A folder of the user's is recognised by what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gpoa.errors import ModelError
from gpoa.segmenters.base import Segmenter
from gpoa.segmenters.hf_sam import HfSam
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.segmenters.onnx_pair import OnnxPair, pair_of
from gpoa.segmenters.sam import Sam
from gpoa.segmenters.sam2 import SAM2, Sam2
from gpoa.segmenters.sam3 import SAM3, sam3
from gpoa.segmenters.sam_hq import SamHq
from gpoa.segmenters.segmenter import Backend, PromptableSegmenter

Builder = Callable[[Path, str, str], Segmenter]
"""(folder of the weights, id of the weights, torch device) -> segmenter."""


def _build(backend: Callable[[Path], Backend], folder: Path, weights_id: str, device: str) -> Segmenter:
    """A segmenter of a backend."""
    return PromptableSegmenter(backend(Path(folder)), weights_id, device)


def _official_sam(architecture: str, folder: Path) -> Sam:
    """Official SAM from the `.pth` file in its folder; ModelError where there is none."""
    checkpoint = next(folder.glob("*.pth"), None)
    if checkpoint is None:
        raise ModelError(f"{folder}: no .pth file; run `gpoa models fetch sam_{architecture}`")
    return Sam(checkpoint, architecture)


_BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "mobile_sam": MobileSam,
    "sam_vit_b": partial(_official_sam, "vit_b"),
    "sam_vit_l": partial(_official_sam, "vit_l"),
    "sam_vit_h": partial(_official_sam, "vit_h"),
    "sam_vit_b_hf": HfSam,
    "sam_vit_l_hf": HfSam,
    "sam_vit_h_hf": HfSam,
    "slimsam-50": HfSam,
    "slimsam-77": HfSam,
    "sam_hq_vit_b": SamHq,
    "sam_hq_vit_l": SamHq,
    "sam_hq_vit_h": SamHq,
    "sam2.1_tiny": Sam2,
    "sam2.1_small": Sam2,
    "sam2.1_base_plus": Sam2,
    "sam2.1_large": Sam2,
    "sam3": sam3,
}
SEGMENTERS: dict[str, Builder] = {name: partial(_build, backend) for name, backend in _BACKENDS.items()}

_BY_KIND: dict[str, Callable[[Path], Backend]] = {
    "sam": HfSam,
    "sam_hq": SamHq,
    **dict.fromkeys(SAM2.kinds, Sam2),
    **dict.fromkeys(SAM3.kinds, sam3),
}
"""`model_type` of a transformers folder -> what runs it."""


def is_segmenter_folder(name: str) -> bool:
    """True where a name is no entry of `SEGMENTERS` but a folder that exists."""
    return name not in SEGMENTERS and Path(name).expanduser().is_dir()


def builder_of(folder: Path) -> Builder:
    """What runs the weights in a folder.

    Args:
        folder: holds one of: `config.json` with `model.safetensors` (SAM, SlimSAM, SAM-HQ, SAM 2, SAM 3 as transformers
            files them), a pair of ONNX files (`OnnxPair`), MobileSAM's `encoder.onnx` with `decoder.safetensors`, or
            one `.pth` file whose name holds sam_hq, vit_b, vit_l or vit_h (an official SAM or SAM-HQ).

    Returns:
        The builder.

    Raises:
        ModelError: the folder holds none of these.
    """
    return partial(_build, _backend_of(Path(folder).expanduser()))


def _backend_of(folder: Path) -> Callable[[Path], Backend]:
    """What `builder_of` makes a segmenter of."""
    if (folder / "config.json").is_file():
        return _by_kind(folder)
    if (folder / "encoder.onnx").is_file() and (folder / "decoder.safetensors").is_file():
        return MobileSam
    if pair_of(folder) is not None:
        return OnnxPair
    checkpoints = sorted(folder.glob("*.pth"))
    if len(checkpoints) == 1:
        name = checkpoints[0].name.lower()
        if "hq" in name:
            return SamHq
        for architecture in ("vit_b", "vit_l", "vit_h"):
            if architecture in name:
                return partial(_official_sam, architecture)
    raise ModelError(
        f"{folder}: no segmenter is recognised; expected config.json and model.safetensors, an encoder and a decoder "
        f"as .onnx, or one .pth file named after sam_hq, vit_b, vit_l or vit_h"
    )


def _by_kind(folder: Path) -> Callable[[Path], Backend]:
    """The backend of a transformers folder."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / 'config.json'}: damaged, or it names no model_type") from error
    if kind not in _BY_KIND:
        raise ModelError(
            f"{folder / 'config.json'}: is of a {kind!r} model; a segmenter is one of {', '.join(_BY_KIND)}"
        )
    return _BY_KIND[kind]
