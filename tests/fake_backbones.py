"""Stand-ins for the two models, so that everything around them is tested fast: colours as tokens, the dense prompt as
mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpoa.config import GpoaConfig
from gpoa.features.cache import EmbeddingCache
from gpoa.geometry import sam_input_size
from gpoa.types import ImageEmbedding, MaskPrediction, PatchFeatures, PointPrompts

SIDE = 16


class FakeSegmenter:
    """Answers with the dense prompt itself, or with discs around the positives."""

    model_id = "fake-segmenter"

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """See `Segmenter.decode`."""
        masks = [self._logits(embedding, prompt) for prompt in prompts]
        count = 4 if all_outputs else 3 if multimask_output else 1
        logits = np.repeat(np.stack(masks)[:, None], count, axis=1)
        return MaskPrediction(logits, np.full((len(prompts), count), 0.8, dtype=np.float32))

    def _logits(self, embedding: ImageEmbedding, prompt: PointPrompts) -> np.ndarray:
        if prompt.mask_prompt is not None:
            return prompt.mask_prompt
        y, x = np.mgrid[0:256, 0:256]
        scale = 256 / max(embedding.original_size)
        logits = np.full((256, 256), -5.0, dtype=np.float32)
        for px, py in prompt.point_coords[prompt.point_labels == 1] * scale:
            logits[(x - px) ** 2 + (y - py) ** 2 < 200] = 5.0
        return logits


class FakeBackbones:
    """The interface of `gpoa.pipeline.backbones.Backbones` without any model."""

    device = "cpu"
    ahead = 1
    joined_layers = 1

    def __init__(self, config: GpoaConfig, cache: EmbeddingCache | None = None) -> None:
        self.config, self.cache = config, EmbeddingCache(None)
        self.segmenter = FakeSegmenter()
        self.ids = {"features": f"fake-{config.models.features}", "segmenter": "fake-segmenter"}

    def features(self, image: np.ndarray, key: str | None = None) -> PatchFeatures:
        """Mean colours of a grid of patches, centred, and a constant."""
        from PIL import Image

        small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
        tokens = np.concatenate([small.reshape(-1, 3) / 127.5 - 1, np.full((SIDE * SIDE, 1), 0.5)], axis=1)
        tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
        size = (image.shape[0], image.shape[1])
        return PatchFeatures(tokens.astype(np.float32), (SIDE, SIDE), 14, (SIDE * 14, SIDE * 14), size)

    def embedding(self, image: np.ndarray, key: str | None = None) -> ImageEmbedding:
        """Sizes, and mean colours as the first channels."""
        import torch
        from PIL import Image

        size = (image.shape[0], image.shape[1])
        colours = (
            np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BOX), dtype=np.float32) / 127.5 - 1
        )
        features = torch.zeros(1, 256, 64, 64)
        features[0, :3] = torch.from_numpy(np.moveaxis(colours, -1, 0).copy())
        return ImageEmbedding(features=features, input_size=sam_input_size(size), original_size=size)

    def encode_ahead(self, images: Sequence[np.ndarray], keys: Sequence[str]) -> None:
        """Nothing is gained here."""
