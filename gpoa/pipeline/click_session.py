"""Clicking on one image, by a person and by the program in turn.

    session = ClickSession("image.png", models=pipeline.backbones)
    session.click(212, 140)                     # on the object; label=0: beside it
    x, y, label = session.suggest()             # where the program would click next; None: nowhere
    mask = session.click(x, y, label)           # [H, W] bool

Everything but the segmenter's encoder takes some 30 ms a call. No true mask goes in anywhere.
"""

from __future__ import annotations

import numpy as np

from gpoa.datasets.shots import ImageLike, to_pixels
from gpoa.envs.click_episode import Click, ClickEpisode, ClickState, mask_frame, prior_frame
from gpoa.errors import ConfigError, DataError
from gpoa.pipeline.backbones import Backbones
from gpoa.search.click_suggest import belief, first_guess, suggest_clicks
from gpoa.segmenters.base import Segmenter, upscale_logits
from gpoa.types import ScoreMap, Size


class ClickSession:
    """One image, its clicks, and the mask that they make.

    Args:
        image: a path, or [H, W, 3] uint8 RGB.
        segmenter: encodes the image anew; or
        models: both models behind the embedding cache (`ImagePipeline.backbones`). One of the two is needed.
        prior: where the object is likely: `ImagePipeline.prompter.score_map(image)`, or [h, w] probabilities over the
            whole image. It makes the mask before the first click and the suggestions.
        start: [H, W] bool, a mask to be corrected; None begins with the prior's, or with nothing.
        feed_back: the latest mask is a prompt of the next call, as SAM was trained to be asked.

    Attributes:
        size: (H, W) of the image.

    Raises:
        ConfigError: neither or both of segmenter and models were given.
        ImageError: the image cannot be read.
        DataError: `start` has another size than the image.
        ValueError: `prior` holds no probabilities.
    """

    def __init__(
        self,
        image: ImageLike,
        *,
        segmenter: Segmenter | None = None,
        models: Backbones | None = None,
        prior: ScoreMap | np.ndarray | None = None,
        start: np.ndarray | None = None,
        feed_back: bool = True,
    ) -> None:
        if (segmenter is None) == (models is None):
            raise ConfigError("ClickSession: give either segmenter= or models=")
        pixels = to_pixels(image)
        self.size: Size = (pixels.shape[0], pixels.shape[1])
        if models is not None:
            used, embedding = models.segmenter, models.embedding(pixels)
        else:
            assert segmenter is not None  # one of the two is there
            used, embedding = segmenter, segmenter.encode(pixels)
        frame = None if prior is None else prior_frame(prior, self.size)
        first = frame if start is None else self._checked_start(start)
        self.episode = ClickEpisode(used, embedding, frame, first, feed_back)
        self._states: list[ClickState] = [self.episode.begin()]
        self._mask: np.ndarray | None = None

    @property
    def state(self) -> ClickState:
        """The latest state, in SAM's frame."""
        return self._states[-1]

    @property
    def clicks(self) -> tuple[Click, ...]:
        """All clicks that count, in order: (x, y, label) in original pixels."""
        return self.state.clicks

    @property
    def mask(self) -> np.ndarray:
        """[H, W] bool at the original size; empty before the first click where there is neither prior nor start."""
        if self._mask is None:
            self._mask = upscale_logits(self.state.logits, self.episode.embedding.input_size, self.size) > 0
        return self._mask.copy()

    @property
    def predicted_iou(self) -> float:
        """SAM's own estimate of the mask's IoU; 0 before the first click."""
        return self.state.iou

    def click(self, x: float, y: float, label: int = 1) -> np.ndarray:
        """Makes a click.

        Args:
            x, y: in original pixels, integers at pixel centres.
            label: 1 on the object, 0 beside it.

        Returns:
            The new mask, [H, W] bool.

        Raises:
            ValueError: the place is outside the image, or the label neither 0 nor 1.
        """
        height, width = self.size
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise ValueError(f"click ({x}, {y}): outside the image of {width} x {height} pixels")
        if label not in (0, 1):
            raise ValueError(f"click label {label}: take 1 (on the object) or 0 (beside it)")
        self._states.append(self.episode.click(self.state, Click(float(x), float(y), int(label))))
        self._mask = None
        return self.mask

    def undo(self) -> bool:
        """Takes the latest click back; False where there is none."""
        if len(self._states) == 1:
            return False
        self._states.pop()
        self._mask = None
        return True

    def suggest(self) -> tuple[int, int, int] | None:
        """The next click without the truth: the centre of the heaviest region where mask and prior (or SAM's other masks)
        disagree; before the first click and without a prior, the point whose mask SAM is surest of.

        Returns:
            (x, y, label), which `click` takes; None where nothing is left to correct.
        """
        probability = belief(self.episode, self.state)
        if probability is None:
            return self._rounded(first_guess(self.episode))
        found = suggest_clicks(probability, self.state, self.size)
        return self._rounded(found[0].click) if found else None

    def _checked_start(self, start: np.ndarray) -> np.ndarray:
        """The start mask in SAM's frame."""
        if start.shape != self.size:
            raise DataError(f"start: a mask of {self.size} is expected, got {start.shape}")
        return mask_frame(start)

    @staticmethod
    def _rounded(click: Click) -> tuple[int, int, int]:
        """A click in whole pixels."""
        return round(click.x), round(click.y), click.label
