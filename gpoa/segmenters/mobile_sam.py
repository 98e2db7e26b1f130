"""MobileSAM (Zhang et al. 2023, arXiv:2306.14289): encoder on ONNX Runtime or in torch, decoder in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpoa.errors import ModelError, one_line
from gpoa.geometry import SAM_SIDE
from gpoa.segmenters.onnx_session import open_session
from gpoa.segmenters.sam_decoder import SamDecoder, build_sam_decoder
from gpoa.segmenters.segmenter import DecoderType, Encoder
from gpoa.segmenters.tiny_vit import TinyVit, read_tiny_vit_weights

if TYPE_CHECKING:
    import torch

Forward = Callable[["torch.Tensor"], "torch.Tensor"]
"""[B, 3, 1024, 1024] float32 pixels from `preprocess` -> [B, 256, 64, 64] float32."""


@dataclass(frozen=True)
class MobileSam:
    """MobileSAM from a folder with `encoder.onnx` and `decoder.safetensors`.

    The encoder runs on ONNX Runtime where that is the fastest (a CPU, float32), else in torch with the same weights.

    Args:
        folder: the model's folder.
    """

    folder: Path
    encoder_bytes = 512 << 20
    """Reasoned: the encoder's widest step holds 64 MiB in float32 a few times."""
    reduces_decoder = True

    def load(self, device: str, encoder_dtype: str) -> tuple[Path, Path]:
        """The files of both halves, each read when it is needed."""
        return self.folder / "encoder.onnx", self.folder / "decoder.safetensors"

    def encoder(self, model: tuple[Path, Path], device: str, dtype: str) -> Encoder:
        """The image encoder.

        Raises:
            ModelError: its file is missing, damaged or of another model.
        """
        on_torch = device != "cpu" or dtype != "float32"
        run = torch_encoder(model[0], device, dtype) if on_torch else onnx_encoder(model[0])
        return Encoder(lambda pixels: {"features": run(pixels)}, device)

    def decoder(self, model: tuple[Path, Path], device: str, dtype: DecoderType) -> SamDecoder:
        """The decoder.

        Raises:
            ModelError: its file is missing, damaged or of another model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return build_sam_decoder(load_file(model[1]), device, dtype)
        except (SafetensorError, OSError, RuntimeError) as error:
            remedy = "run `gpoa models fetch mobile_sam`"
            raise ModelError(f"{model[1]}: cannot be loaded ({one_line(error)}); {remedy}") from error


def onnx_encoder(path: Path) -> Forward:
    """The encoder on ONNX Runtime's CPU provider, one image after another (larger batches gain nothing there).

    Raises:
        ModelError: the file is missing, damaged or of another model.
    """
    import torch

    session = open_session(path)
    _check_encoder(session, path)

    def run(pixels: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.from_numpy(session.run(None, {"input": one[None].numpy()})[0]) for one in pixels])

    return run


def torch_encoder(path: Path, device: str, dtype: str) -> Forward:
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
