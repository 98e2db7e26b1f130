"""MobileSAM (Zhang et al. 2023, arXiv:2306.14289): encoder on ONNX Runtime or in torch, decoder in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.geometry import SAM_SIDE
from gpoa.runtime.memory import Batches
from gpoa.segmenters.base import encode_in_batches
from gpoa.segmenters.onnx_session import open_session
from gpoa.segmenters.sam_decoder import DecoderType, SamDecoder, build_sam_decoder
from gpoa.segmenters.tiny_vit import TinyVit, read_tiny_vit_weights
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

if TYPE_CHECKING:
    import torch

ENCODER_BYTES = 512 << 20
"""What the encoder needs for one image on CUDA; reasoned, its widest step holds 64 MiB in float32 a few times."""
Encoder = Callable[["torch.Tensor"], "torch.Tensor"]
"""[B, 3, 1024, 1024] float32 pixels from `preprocess` -> [B, 256, 64, 64] float32."""


class MobileSam:
    """MobileSAM from a folder with `encoder.onnx` and `decoder.safetensors`.

    Encoder and decoder are loaded on first use, so a run from cached embeddings never loads the encoder. The encoder
    runs on ONNX Runtime where that is the fastest (a CPU, float32), else in torch with the same weights.

    Args:
        folder: the model's folder.
        weights_id: names the weights.
        device: torch device.
        dtype: of the decoder's large products, see `SamDecoder`.
        encoder_dtype: float32, bfloat16 or float16, of the encoder.
    """

    def __init__(
        self,
        folder: Path,
        weights_id: str,
        device: str = "cpu",
        dtype: DecoderType = "float32",
        encoder_dtype: str = "float32",
    ) -> None:
        self.folder, self.model_id, self.device = Path(folder), weights_id, device
        self.dtype, self.encoder_dtype = dtype, encoder_dtype
        self.batches = Batches(device, ENCODER_BYTES)
        self._encoder: Encoder | None = None
        self._decoder: SamDecoder | None = None

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Runs the image encoder.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            The embedding, rounded to float16 (so that a cached copy is bit-equal).
        """
        return self.encode_many([image])[0]

    def encode_many(self, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
        """Runs the image encoder on images of any sizes, on CUDA as many together as its memory holds; see `encode`.

        Raises:
            ModelError: the GPU's memory does not hold one image.
        """
        encoder = self.encoder  # loaded before the free memory is asked for
        return encode_in_batches(images, lambda pixels: {"features": encoder(pixels)}, self.batches)

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image; see `SamDecoder.decode`."""
        return self.decoder.decode(embedding, prompts, multimask_output, all_outputs)

    def decode_many(
        self,
        embeddings: Sequence[ImageEmbedding],
        prompts: Sequence[Sequence[PointPrompts]],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> list[MaskPrediction]:
        """Answers prompt sets on many images; see `SamDecoder.decode_many`."""
        return self.decoder.decode_many(embeddings, prompts, multimask_output, all_outputs)

    @property
    def decoder(self) -> SamDecoder:
        """The torch decoder, loaded once.

        Raises:
            ModelError: its file is missing, damaged or of another model.
        """
        if self._decoder is None:
            self._decoder = self._load_decoder()
        return self._decoder

    @property
    def encoder(self) -> Encoder:
        """The image encoder, loaded once.

        Raises:
            ModelError: its file is missing, damaged or of another model.
        """
        if self._encoder is None:
            path = self.folder / "encoder.onnx"
            on_torch = self.device != "cpu" or self.encoder_dtype != "float32"
            self._encoder = torch_encoder(path, self.device, self.encoder_dtype) if on_torch else onnx_encoder(path)
        return self._encoder

    def _load_decoder(self) -> SamDecoder:
        """The torch decoder."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / "decoder.safetensors"
        try:
            return build_sam_decoder(load_file(path), self.device, self.dtype)
        except (SafetensorError, OSError, RuntimeError) as error:
            remedy = "run `gpoa models fetch mobile_sam`"
            raise ModelError(f"{path}: cannot be loaded ({one_line(error)}); {remedy}") from error


def onnx_encoder(path: Path) -> Encoder:
    """The encoder on ONNX Runtime's CPU provider, one image after another (larger batches gain nothing there).

    Raises:
        ModelError: the file is missing, damaged or of another model.
    """
    import torch

    session = open_session(path)
    _check_encoder(session, path)
    return lambda pixels: torch.cat([torch.from_numpy(session.run(None, {"input": x[None].numpy()})[0]) for x in pixels])


def torch_encoder(path: Path, device: str, dtype: str) -> Encoder:
    """The encoder in torch, with the weights of the ONNX file.

    Raises:
        ModelError: the file is missing, damaged or of another model.
    """
    weights = read_tiny_vit_weights(path)
    try:
        return TinyVit(weights, device, dtype)
    except KeyError as error:
        raise ModelError(f"{path}: not MobileSAM's encoder (no {error}); run `gpoa models fetch mobile_sam`") from error


def _check_encoder(session, path: Path) -> None:
    """Refuses a graph of another model.

    Raises:
        ModelError: its input or output is not MobileSAM's.
    """
    inputs = [(value.name, value.shape[1:]) for value in session.get_inputs()]
    outputs = [value.shape[1:] for value in session.get_outputs()]
    if inputs != [("input", [3, SAM_SIDE, SAM_SIDE])] or outputs != [[256, 64, 64]]:
        found = f"inputs {inputs}, outputs {outputs}"
        raise ModelError(f"{path}: not MobileSAM's encoder ({found}); run `gpoa models fetch mobile_sam`")
