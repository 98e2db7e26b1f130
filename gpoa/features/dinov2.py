"""DINOv2 patch tokens through `transformers` (Oquab et al. 2023, arXiv:2304.07193)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gpoa.errors import ConfigError, ModelError, one_line
from gpoa.types import PatchFeatures

# The mean and the deviation of ImageNet, with which DINOv2 was trained.
PIXEL_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
PIXEL_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps transformers' progress bar for loading weights from mixing with ours."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


class Dinov2Extractor:
    """Patch tokens of a transformers DINOv2 at a square input.

    The model is loaded on the first image that needs it, so a run from cached tokens never pays for it.

    Args:
        folder: a transformers DINOv2 folder (`config.json`, `model.safetensors`).
        weights_id: names the weights.
        image_size: side of the square that the image is stretched to, a multiple of the patch size.
        layers: layers, counted from 1, whose tokens are normalised and joined.
        device: torch device.

    Raises:
        ConfigError: `image_size` is not a multiple of the patch size, or a layer does not exist.
        ModelError: the folder does not hold a DINOv2.
    """

    def __init__(
        self, folder: Path, weights_id: str, image_size: int = 560, layers: Sequence[int] = (12,), device: str = "cpu"
    ) -> None:
        import json

        self.folder, self.image_size, self.layers, self.device = Path(folder), image_size, tuple(layers), device
        try:
            shape = json.loads((self.folder / "config.json").read_text())
            self.patch_size, self.depth = int(shape["patch_size"]), int(shape["num_hidden_layers"])
            if self.patch_size < 1:
                raise ValueError(f"patch_size {self.patch_size}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder}: no transformers DINOv2 ({error}); run `gpoa models fetch`") from error
        if image_size % self.patch_size:
            raise ConfigError(
                f"--features.image-size {image_size} is not a multiple of the patch size {self.patch_size}; "
                f"take {image_size - image_size % self.patch_size}"
            )
        if max(self.layers) > self.depth:
            raise ConfigError(f"--features.layers {self.layers}: this model has {self.depth} layers")
        self.model_id = f"{weights_id}@{image_size}/{'+'.join(map(str, self.layers))}"
        self._model = None

    def _load(self):
        """The torch model, loaded once."""
        if self._model is None:
            from transformers import Dinov2Model

            try:
                with quiet_loading():
                    model = Dinov2Model.from_pretrained(self.folder, local_files_only=True)
            except Exception as error:  # transformers raises many kinds for a damaged file
                raise ModelError(f"{self.folder}: cannot be loaded ({one_line(error)}); run `gpoa models fetch`") from error
            self._model = model.eval().to(self.device)
        return self._model

    def extract(self, image: np.ndarray) -> PatchFeatures:
        """Computes the patch tokens of one image.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            Features with tokens [P, D * number of layers], each row of unit length and rounded to float16.
        """
        import torch

        model = self._load()
        with torch.inference_mode():
            pixels = torch.from_numpy(self._preprocess(image)).to(self.device)  # [1, 3, S, S]
            hidden = model(pixel_values=pixels, output_hidden_states=True).hidden_states
            parts = [
                torch.nn.functional.normalize(model.layernorm(hidden[layer])[0, 1:].float(), dim=-1)
                for layer in self.layers
            ]  # each [P, D]
            tokens = torch.cat(parts, dim=-1).cpu().numpy() / np.sqrt(len(parts))
        side = self.image_size // self.patch_size
        return PatchFeatures(
            tokens=tokens.astype(np.float16).astype(np.float32),
            grid_size=(side, side),
            patch_size=self.patch_size,
            input_size=(self.image_size, self.image_size),
            original_size=(image.shape[0], image.shape[1]),
        )

    def _preprocess(self, image: np.ndarray) -> np.ndarray:
        """Stretches to the square and normalises: [H, W, 3] uint8 -> [1, 3, S, S] float32."""
        from PIL import Image

        picture = Image.fromarray(image).resize((self.image_size, self.image_size), Image.Resampling.BICUBIC)
        scaled = (np.asarray(picture, dtype=np.float32) / 255.0 - PIXEL_MEAN) / PIXEL_STD
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
