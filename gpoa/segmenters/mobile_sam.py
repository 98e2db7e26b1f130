"""MobileSAM (Zhang et al. 2023, arXiv:2306.14289): encoder on ONNX Runtime, decoder in torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.segmenters.preprocess import preprocess
from gpoa.segmenters.sam_decoder import SamDecoder, build_sam_decoder
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts


class MobileSam:
    """MobileSAM from a folder with `encoder.onnx` and `decoder.safetensors`.

    Encoder and decoder are loaded on first use, so a run from cached embeddings never loads the encoder.

    Args:
        folder: the model's folder.
        weights_id: names the weights.
        device: torch device; the encoder uses ONNX Runtime's CUDA provider where that is installed and asked for.
    """

    def __init__(self, folder: Path, weights_id: str, device: str = "cpu") -> None:
        self.folder, self.model_id, self.device = Path(folder), weights_id, device
        self._session = None
        self._decoder: SamDecoder | None = None

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Runs the image encoder.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            The embedding, rounded to float16 (so that a cached copy is bit-equal).
        """
        import torch

        pixels, input_size = preprocess(image)
        (features,) = self._encoder().run(None, {"input": pixels})
        return ImageEmbedding(
            features=torch.from_numpy(features.astype(np.float16).astype(np.float32)),
            input_size=input_size,
            original_size=(image.shape[0], image.shape[1]),
        )

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image; see `SamDecoder.decode`."""
        if self._decoder is None:
            self._decoder = self._load_decoder()
        return self._decoder.decode(embedding, prompts, multimask_output, all_outputs)

    def _encoder(self):
        """The ONNX Runtime session of the encoder, opened once."""
        if self._session is None:
            import onnxruntime

            wanted = ["CUDAExecutionProvider"] if self.device.startswith("cuda") else []
            offered = onnxruntime.get_available_providers()
            providers = [name for name in wanted if name in offered] + ["CPUExecutionProvider"]
            options = onnxruntime.SessionOptions()
            # Its threads would spin between images and take the cores from torch.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            try:
                self._session = onnxruntime.InferenceSession(self.folder / "encoder.onnx", options, providers=providers)
            except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
                raise ModelError(f"{self.folder / 'encoder.onnx'}: cannot be loaded ({one_line(error)})") from error
        return self._session

    def _load_decoder(self) -> SamDecoder:
        """The torch decoder."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / "decoder.safetensors"
        try:
            return build_sam_decoder(load_file(path), self.device)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ModelError(f"{path}: cannot be loaded ({one_line(error)}); run `gpoa models fetch mobile_sam`") from error
