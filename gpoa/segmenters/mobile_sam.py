"""MobileSAM (Zhang et al. 2023, arXiv:2306.14289): encoder on ONNX Runtime, decoder in torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.geometry import SAM_SIDE
from gpoa.segmenters.preprocess import preprocess
from gpoa.segmenters.sam_decoder import DecoderType, SamDecoder, build_sam_decoder
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts


class MobileSam:
    """MobileSAM from a folder with `encoder.onnx` and `decoder.safetensors`.

    Encoder and decoder are loaded on first use, so a run from cached embeddings never loads the encoder.

    Args:
        folder: the model's folder.
        weights_id: names the weights.
        device: torch device; the encoder uses ONNX Runtime's CUDA provider where that is installed and asked for.
        dtype: of the decoder's large products, see `SamDecoder`.
    """

    def __init__(self, folder: Path, weights_id: str, device: str = "cpu", dtype: DecoderType = "float32") -> None:
        self.folder, self.model_id, self.device, self.dtype = Path(folder), weights_id, device, dtype
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

    def _encoder(self):
        """The ONNX Runtime session of the encoder, opened once."""
        if self._session is None:
            import onnxruntime
            import torch

            wanted = ["CUDAExecutionProvider"] if self.device.startswith("cuda") else []
            offered = onnxruntime.get_available_providers()
            providers = [name for name in wanted if name in offered] + ["CPUExecutionProvider"]
            options = onnxruntime.SessionOptions()
            # Its threads would spin between images and take the cores from torch.
            options.intra_op_num_threads = torch.get_num_threads()  # so OMP_NUM_THREADS counts for both
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            try:
                self._session = onnxruntime.InferenceSession(self.folder / "encoder.onnx", options, providers=providers)
            except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
                raise ModelError(f"{self.folder / 'encoder.onnx'}: cannot be loaded ({one_line(error)})") from error
            _check_encoder(self._session, self.folder / "encoder.onnx")
        return self._session

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
