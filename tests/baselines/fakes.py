"""Stand-ins for the frozen models: colours as tokens, and a segmenter that answers with regions of one colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpoa.geometry import LOW_RES_SIDE, low_res_size, sam_input_size, to_sam_points
from gpoa.types import ImageEmbedding, MaskPrediction, PatchFeatures, PointPrompts

GREY, RED, GREEN, BLUE = (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255)
SIDE = 16


def picture(size: tuple[int, int], *squares: tuple[int, int, int, tuple[int, int, int]]) -> np.ndarray:
    """A grey image [H, W, 3] uint8 with squares (row, column, side, colour)."""
    image = np.full((*size, 3), GREY, dtype=np.uint8)
    for row, column, side, colour in squares:
        image[row : row + side, column : column + side] = colour
    return image


def coloured(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where an image has exactly a colour: [H, W] bool."""
    return (image == np.array(colour, dtype=np.uint8)).all(axis=-1)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """IoU of two masks; 1 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


class RegionSegmenter:
    """Answers a prompt set with the connected regions of one colour that its positive points lie in.

    Regions that a negative point lies in are taken out again. The three masks of `multimask_output` are that answer,
    nothing but its first point's surrounding (9 x 9 cells), and the whole image, with predicted IoU .95, .90 and .85.

    Attributes:
        calls: every prompt set decoded so far.
    """

    model_id = "region-segmenter"

    def __init__(self) -> None:
        self.calls: list[PointPrompts] = []

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """See `Segmenter.decode`."""
        self.calls += prompts
        wanted = slice(0, 4) if all_outputs else slice(1, 4) if multimask_output else slice(0, 1)
        logits = np.stack([np.stack(self._outputs(embedding, prompt))[wanted] for prompt in prompts])
        scores = np.tile(np.array([0.9, 0.95, 0.9, 0.85], dtype=np.float32)[wanted], (len(prompts), 1))
        return MaskPrediction(logits, scores)

    def _outputs(self, embedding: ImageEmbedding, prompt: PointPrompts) -> list[np.ndarray]:
        from scipy import ndimage

        rows, columns = low_res_size(embedding.original_size)
        colours = embedding.features[0, :3].repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()[:, :rows, :columns]
        codes = (np.round(colours * 2) + 2).astype(int)
        codes = codes[0] * 25 + codes[1] * 5 + codes[2]
        inside = np.zeros((rows, columns), dtype=bool)
        cells = np.floor(to_sam_points(prompt.point_coords, embedding.original_size) / 4).astype(int)
        for wanted in (1, 0):
            for x, y in cells[prompt.point_labels == wanted]:
                regions = ndimage.label(codes == codes[y, x])[0]
                inside[regions == regions[y, x]] = bool(wanted)
        near, everything = np.zeros_like(inside), np.ones_like(inside)
        x, y = cells[0]
        near[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = True
        return [self._frame(mask) for mask in (inside, inside, near, everything)]

    @staticmethod
    def _frame(mask: np.ndarray) -> np.ndarray:
        frame = np.full((LOW_RES_SIDE, LOW_RES_SIDE), -5.0, dtype=np.float32)
        frame[: mask.shape[0], : mask.shape[1]][mask] = 5.0
        return frame


class FakeModels:
    """The interface of `FrozenModels` without any model."""

    def __init__(self) -> None:
        self.segmenter = RegionSegmenter()

    def features(self, image: np.ndarray, key: str | None = None) -> PatchFeatures:
        """Mean colours of 16 x 16 patches, centred, and a constant."""
        from PIL import Image

        small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
        tokens = np.concatenate([small.reshape(-1, 3) / 127.5 - 1, np.full((SIDE * SIDE, 1), 0.5)], axis=1)
        tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
        size = (image.shape[0], image.shape[1])
        return PatchFeatures(tokens.astype(np.float32), (SIDE, SIDE), 14, (SIDE * 14, SIDE * 14), size)

    def embedding(self, image: np.ndarray, key: str | None = None) -> ImageEmbedding:
        """Colours as the first channels and a constant as the fourth, the image at the upper left as SAM has it."""
        import torch
        from PIL import Image

        size = (image.shape[0], image.shape[1])
        rows, columns = (-(-side // 16) for side in sam_input_size(size))
        small = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.NEAREST), dtype=np.float32)
        features = torch.zeros(1, 256, 64, 64)
        features[0, :3, :rows, :columns] = torch.from_numpy(np.moveaxis(small / 127.5 - 1, -1, 0).copy())
        features[0, 3] = 0.5
        return ImageEmbedding(features=features, input_size=sam_input_size(size), original_size=size)
