"""The official SAM checkpoints (vit_b, vit_l, vit_h) through `segment_anything`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.segmenters.preprocess import preprocess
from gpoa.segmenters.sam_decoder import SamDecoder
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts


class Sam:
    """SAM from an official `.pth` file.

    Args:
        checkpoint: the `.pth` file.
        architecture: a key of `segment_anything.sam_model_registry`: vit_b, vit_l or vit_h.
        weights_id: names the weights.
        device: torch device.
    """

    def __init__(self, checkpoint: Path, architecture: str, weights_id: str, device: str = "cpu") -> None:
        self.checkpoint, self.architecture = Path(checkpoint), architecture
        self.model_id, self.device = weights_id, device
        self._model = None
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
        with torch.inference_mode():
            features = self._sam().image_encoder(torch.from_numpy(pixels).to(self.device))
        return ImageEmbedding(
            features=features.half().float().cpu(),
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
            self._decoder = SamDecoder(self._sam().prompt_encoder, self._sam().mask_decoder, self.device)
        return self._decoder.decode(embedding, prompts, multimask_output, all_outputs)

    def _sam(self):
        """The torch model, loaded once, never executing code from the file."""
        if self._model is None:
            import torch
            from segment_anything import sam_model_registry

            try:
                state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
                model = sam_model_registry[self.architecture]()
                model.load_state_dict(state)
            except Exception as error:  # torch raises many kinds for a damaged or foreign file
                raise ModelError(
                    f"{self.checkpoint}: not a SAM {self.architecture} checkpoint ({one_line(error)}); "
                    f"fetch it again with `gpoa models fetch`"
                ) from error
            self._model = model.eval().to(self.device)
        return self._model
