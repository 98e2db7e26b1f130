"""Patch tokens of the vision transformers that `transformers` runs: DINOv2, DINOv3, MAE, DINO, CLIP, SigLIP and others.

Legend: `P` patches, `D` width, `S` side of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpoa.errors import ConfigError
from gpoa.features.vit_kinds import VitKind, VitShape, read_pixels, read_shape
from gpoa.models.hf_loading import load_pretrained
from gpoa.runtime.memory import Batches, upload
from gpoa.runtime.precision import keep_norms, reduced
from gpoa.types import PatchFeatures

if TYPE_CHECKING:
    import torch

SMALLEST = 56
"""The least `--features.image-size`."""


class HfVit:
    """Patch tokens of a vision transformer at a square input.

    Every layer's tokens pass the model's last layer norm, as the model's own output does, are made of unit length, and
    are joined. Tokens that are no patch (class, distillation, registers) are left out. Learned position embeddings are
    interpolated to the input by the library. The model is loaded on the first image that needs it, so a run from
    cached tokens never pays for it.

    Args:
        folder: a transformers folder (`config.json`, `model.safetensors`, perhaps `preprocessor_config.json`) of one of
            `vit_kinds.KINDS`.
        weights_id: names the weights.
        image_size: side of the square that the image is stretched to, a multiple of the patch size.
        layers: layers, counted from 1, whose tokens are joined.
        device: torch device.

    Attributes:
        encoder_dtype: see `gpoa.runtime.precision`; set it before the first image.

    Raises:
        ConfigError: `image_size` is not a multiple of the patch size, or a layer does not exist.
        ModelError: the folder does not hold such a model.
    """

    def __init__(
        self, folder: Path, weights_id: str, image_size: int = 560, layers: Sequence[int] = (12,), device: str = "cpu"
    ) -> None:
        self.folder, self.image_size, self.layers, self.device = Path(folder), image_size, tuple(layers), device
        self.shape: VitShape = read_shape(self.folder)
        self.pixels = read_pixels(self.folder, self.shape.kind)
        self.patch_size, self.depth = self.shape.patch_size, self.shape.depth
        check_image_size(image_size, self.patch_size)
        if max(self.layers) > self.depth:
            raise ConfigError(f"--features.layers {self.layers}: this model has {self.depth} layers")
        self.model_id = f"{weights_id}@{image_size}/{'+'.join(map(str, self.layers))}"
        # Reasoned, not measured: maps of the widest model (1536), one a layer and two dozen for the layer at work.
        tokens = (image_size // self.patch_size) ** 2
        self.encoder_dtype = "float32"
        self.batches = Batches(device, max(1, (self.depth + 24) * tokens * 1536 * 4))
        self._model = None

    def extract(self, image: np.ndarray) -> PatchFeatures:
        """Computes the patch tokens of one image.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            Features with tokens [P, D * number of layers], each row of unit length and rounded to float16.
        """
        return self.extract_many([image])[0]

    def extract_many(self, images: Sequence[np.ndarray]) -> list[PatchFeatures]:
        """Computes the patch tokens of images of any sizes, on CUDA as many together as fit; see `extract`.

        Raises:
            ModelError: the GPU's memory does not hold one image.
        """
        self._load()  # before the free memory is asked for
        return self.batches.run(images, self._extract_batch)

    def _extract_batch(self, images: Sequence[np.ndarray]) -> list[PatchFeatures]:
        """One call of the model."""
        import torch

        model = self._load()
        norm = _norm_of(model, self.shape.kind)
        pixels = np.concatenate([self.pixels.to_input(image, self.image_size) for image in images])  # [B, 3, S, S]
        with torch.inference_mode(), reduced(self.device, self.encoder_dtype):
            inputs = upload(pixels, self.device)
            hidden = model(pixel_values=inputs, output_hidden_states=True, **self._options(len(images))).hidden_states
            parts = [
                torch.nn.functional.normalize(norm(hidden[layer])[:, self.shape.prefix :].float(), dim=-1)
                for layer in self.layers
            ]  # each [B, P, D]
            tokens = torch.cat(parts, dim=-1).cpu().numpy() / np.sqrt(len(parts))
        side = self.image_size // self.patch_size
        return [
            PatchFeatures(
                tokens=tokens[i].astype(np.float16).astype(np.float32),
                grid_size=(side, side),
                patch_size=self.patch_size,
                input_size=(self.image_size, self.image_size),
                original_size=(image.shape[0], image.shape[1]),
            )
            for i, image in enumerate(images)
        ]

    def _options(self, images: int) -> dict[str, Any]:
        """What the model is asked besides its pixels."""
        import torch

        options: dict[str, Any] = {"interpolate_pos_encoding": True} if self.shape.kind.interpolate else {}
        if self.shape.kind.whole:  # patches are kept in the order of these numbers
            count = (self.image_size // self.patch_size) ** 2
            options["noise"] = torch.arange(count, dtype=torch.float32, device=self.device).expand(images, -1)
        return options

    def _load(self) -> torch.nn.Module:
        """The torch model, loaded once."""
        if self._model is None:
            self._model = keep_norms(load_vit(self.folder, self.shape.kind, self.device), self.encoder_dtype)
        return self._model


def check_image_size(image_size: int, patch_size: int) -> None:
    """Refuses an input that the patches do not fill; ConfigError with the nearest sides that they fill."""
    if image_size % patch_size:
        below = image_size - image_size % patch_size
        near = " or ".join(str(side) for side in (below, below + patch_size) if side >= SMALLEST)
        raise ConfigError(
            f"--features.image-size {image_size} is not a multiple of the patch size {patch_size}; take {near}"
        )


def load_vit(folder: Path, kind: VitKind, device: str) -> torch.nn.Module:
    """Loads a vision transformer; see `load_pretrained`."""
    # The mask token stands in for patches that are hidden while training; none is hidden here.
    return load_pretrained(kind.class_name, folder, device, ("mask_token",), **kind.build)


def _norm_of(model: torch.nn.Module, kind: VitKind) -> torch.nn.Module:
    """What the model's own output passes last."""
    import torch

    if kind.norm is None:
        return torch.nn.Identity()
    return getattr(getattr(model, "vision_model", model), kind.norm)  # SigLIP's lay one level deeper before version 5
