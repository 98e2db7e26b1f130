"""Clicking without models: drawn pictures, and a segmenter that answers with the part under each click.

A picture holds parts of two colours; the object is all parts of one colour, so that one click finds one part, a further
click each other one, and a negative click removes a part. Colours are in the embedding, as they would be in SAM's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpoa.config.clicks import ClickEnvConfig
from gpoa.envs.click_env import ClickSegmentEnv
from gpoa.envs.click_episode import LOGIT_LIMIT, cells_of, prior_frame
from gpoa.envs.click_scene import ClickScene
from gpoa.geometry import sam_input_size
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

SIDE = 96
COLOURS = np.array([[40, 40, 40], [220, 80, 60], [60, 90, 220]])
"""Background, object, other parts."""


class ToySegmenter:
    """Answers with the parts under positive clicks that have no negative one, and with what the mask prompt held
    besides."""

    model_id = "toy"

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Colours as features, and the parts' numbers."""
        import torch
        from PIL import Image
        from scipy import ndimage

        size = (image.shape[0], image.shape[1])
        kinds = np.abs(image[..., None, :].astype(int) - COLOURS).sum(axis=-1).argmin(axis=-1)
        parts = np.zeros(size, dtype=np.int64)
        for kind in (1, 2):
            numbered, _ = ndimage.label(kinds == kind)
            parts[numbered > 0] = numbered[numbered > 0] + parts.max()
        frame = np.zeros((256, 256), dtype=np.float32)
        rows, columns = (max(1, round(256 * side / max(size))) for side in size)
        picture = Image.fromarray(parts.astype(np.int32)).resize((columns, rows), Image.Resampling.NEAREST)
        frame[:rows, :columns] = np.asarray(picture)
        small = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BOX), dtype=np.float32) / 127.5 - 1
        features = torch.zeros(1, 256, 64, 64)
        features[0, :3] = torch.from_numpy(np.moveaxis(small, -1, 0).copy())
        return ImageEmbedding(features, sam_input_size(size), size, {"parts": torch.from_numpy(frame)[None, None]})

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """See `Segmenter.decode`; all masks of a set are the same."""
        parts = embedding.extras["parts"][0, 0].numpy()
        masks = np.stack([self._mask(parts, one, embedding.original_size) for one in prompts])
        count = 4 if all_outputs else 3 if multimask_output else 1
        logits = np.repeat(np.where(masks, 6.0, -6.0).astype(np.float32)[:, None], count, axis=1)
        return MaskPrediction(logits, np.full((len(masks), count), 0.9, dtype=np.float32))

    @staticmethod
    def _mask(parts: np.ndarray, prompts: PointPrompts, size: tuple[int, int]) -> np.ndarray:
        """[256, 256] bool."""
        from gpoa.envs.click_episode import Click

        mask = np.zeros(parts.shape, dtype=bool) if prompts.mask_prompt is None else prompts.mask_prompt > 0
        pairs = zip(prompts.point_coords, prompts.point_labels, strict=True)
        clicks = tuple(Click(float(x), float(y), int(label)) for (x, y), label in pairs)
        for label in (1, 0):
            chosen = tuple(click for click in clicks if click.label == label)
            under = parts[cells_of(chosen, size)] if chosen else np.empty(0)
            mask = np.where(np.isin(parts, under[under > 0]), label == 1, mask)
        return mask


def draw_scene(rng: np.random.Generator, group: str = "toy") -> ClickScene:
    """A picture of two to three parts of the object's colour and one to two of the other, with a noisy prior.

    Args:
        rng: draws.
        group: its class.
    """
    image = np.broadcast_to(COLOURS[0], (SIDE, SIDE, 3)).astype(np.uint8)
    kinds = np.zeros((SIDE, SIDE), dtype=np.int64)
    corners = rng.permutation(9)
    wanted = int(rng.integers(2, 4))
    for number, corner in enumerate(corners[: wanted + int(rng.integers(1, 3))]):
        top, left = (np.array(divmod(int(corner), 3)) * 32 + rng.integers(4, 10, 2)).tolist()
        height, width = rng.integers(12, 19, 2).tolist()
        kinds[top : top + height, left : left + width] = 1 if number < wanted else 2
    image = COLOURS[kinds].astype(np.uint8)
    probability = np.where(kinds == 1, 0.7, np.where(kinds == 2, 0.35, 0.1))
    noisy = np.clip(probability + rng.normal(0, 0.08, probability.shape), 0.01, 0.99)
    frame = prior_frame(noisy.astype(np.float32), (SIDE, SIDE))
    return ClickScene(group, image, ToySegmenter().encode(image), np.clip(frame, -LOGIT_LIMIT, LOGIT_LIMIT), kinds == 1)


def make_click_toy(
    scenes: int = 32, seed: int = 0, render_mode: str | None = None, **options: object
) -> ClickSegmentEnv:
    """The environment on drawn pictures.

    Args:
        scenes: how many.
        seed: of the pictures.
        render_mode: None or rgb_array.
        options: of `ClickEnvConfig`.
    """
    rng = np.random.default_rng(seed)
    drawn = [draw_scene(rng) for _ in range(scenes)]
    config = ClickEnvConfig(**{"grid": 12, "size": 48, "feed_back": False, **options})  # type: ignore[arg-type]
    return ClickSegmentEnv(drawn, ToySegmenter(), config, render_mode)
