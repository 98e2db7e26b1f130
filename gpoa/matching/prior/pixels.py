"""A pixel classifier that learns the reference's colours and textures, as ilastik and Labkit do.

Patch tokens know what a thing is, but at 14 pixels a step; colours and filter responses know little, but at every
pixel. (Berg et al. 2019, ilastik; Arzt et al. 2022, Labkit: filter bank and random forest. Here: a ridge on random
Fourier features, Rahimi and Recht 2007, which is smooth, small and fast.)

Legend: `S` side of the square that every image is resampled to, `F` filter responses of a pixel, `M` random features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 256
SCALES = (1, 2, 4, 8)
"""Sigma of the Gaussians in pixels of the square; each beyond 2 is computed on a square half the side of the one
before."""
RANDOM_FEATURES = 128
FOREGROUND_PIXELS, BACKGROUND_PIXELS = 5000, 7000
PENALTY = 3e-3
"""L2 penalty, as a share of the number of pixels."""
CLIP = 4.0
"""Standardised responses are clipped here: a colour far from all that was seen is just far."""


def to_square(image: np.ndarray) -> np.ndarray:
    """Resamples an image to the square on which pixels are classified.

    Args:
        image: [H, W, 3] uint8 RGB.

    Returns:
        [S, S, 3] uint8; area mean where it shrinks.
    """
    way = Image.Resampling.BOX if min(image.shape[:2]) >= 2 * SIDE else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), way, reducing_gap=None))


def filter_responses(square: np.ndarray) -> np.ndarray:
    """Colours and multi-scale filter responses of an image.

    Args:
        square: [S, S, 3] uint8 RGB.

    Returns:
        [F, S, S] float32: luminance and two opponent colours at sigma 1 and 4; of the luminance at each scale the
        gradient magnitude and the two eigenvalues of the Hessian; the Gaussians at 2 and 8; local deviation at 2 and 4;
        and the differences to sigma 16.
    """
    red, green, blue = (square[..., channel].astype(np.float32) / 255 for channel in range(3))
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    colours = (luminance, red - green, (red + green) / 2 - blue)
    smooth = [_blur(colour, 1.0) for colour in colours]
    wide = [_enlarge(_blur(_shrink(one, 2), 2.0)) for one in smooth]  # about sigma 4
    far = [_enlarge(_blur(_shrink(one, 8), 2.0)) for one in smooth]  # about sigma 16
    parts = [*smooth, *wide, *(near - distant for near, distant in zip(smooth, far, strict=True))]
    for scale in SCALES:
        factor = max(1, scale // 2)
        base = _blur(_shrink(luminance, factor), scale / factor)
        parts += [_enlarge(one) for one in _derivatives(base, scale / factor)]
        if scale in (2, 8):
            parts.append(_enlarge(base))
        if scale in (2, 4):
            squares = _blur(_shrink(luminance * luminance, factor), scale / factor)
            parts.append(_enlarge(np.sqrt(np.maximum(squares - base * base, 0))))
    return np.stack(parts)


def normalised(responses: np.ndarray) -> np.ndarray:
    """Responses as if every image had the same contrast: divided by the spread of the luminance, colours centred.

    Args:
        responses: [F, S, S] from `filter_responses`.

    Returns:
        [F, S, S] float32.
    """
    spread = max(float(responses[0].std()), 1e-3)
    centre = responses.mean(axis=(1, 2), keepdims=True) * (_IS_COLOUR[: len(responses), None, None])
    return (responses - centre) / spread


@dataclass(frozen=True, eq=False, slots=True)
class PixelClassifier:
    """A fitted classifier of filter responses.

    Args:
        mean: [F] of the reference's responses.
        spread: [F] of the reference's responses.
        directions: [F, M] random directions.
        phases: [M].
        weights: [M + F].
        intercept: added to the score.
    """

    mean: np.ndarray
    spread: np.ndarray
    directions: np.ndarray
    phases: np.ndarray
    weights: np.ndarray
    intercept: float

    def __call__(self, responses: np.ndarray) -> np.ndarray:
        """Scores pixels.

        Args:
            responses: [F, ...] float32.

        Returns:
            [...] float32, about -1 background to 1 foreground.
        """
        import torch

        flat = torch.from_numpy(np.ascontiguousarray(responses.reshape(len(responses), -1).T, dtype=np.float32))
        features = torch.clamp((flat - torch.from_numpy(self.mean)) / torch.from_numpy(self.spread), -CLIP, CLIP)
        count = len(self.phases)
        waves = torch.addmm(torch.from_numpy(self.phases), features, torch.from_numpy(self.directions)).cos_()
        weights = torch.from_numpy(self.weights)
        scores = waves @ weights[:count] + features @ weights[count:] + self.intercept
        return scores.numpy().reshape(responses.shape[1:])


def fit_pixels(responses: Sequence[np.ndarray], masks: Sequence[np.ndarray], seed: int = 0) -> PixelClassifier:
    """Fits a classifier to the pixels of the reference images.

    Args:
        responses: [F, S, S] of each reference image.
        masks: [S, S] float32 in [0, 1] of each, the share of the pixel that the mask covers; both classes must occur.
        seed: of the pixels that are drawn and of the random features.

    Returns:
        The classifier, both classes weighing the same.
    """
    rng = np.random.default_rng(seed)
    flat = np.concatenate([one.reshape(len(one), -1).T for one in responses])
    share = np.concatenate([one.reshape(-1) for one in masks])
    cut = min(0.5, float(share.max()))
    chosen = [_draw(np.flatnonzero(share >= cut), FOREGROUND_PIXELS, rng)]
    chosen.append(_draw(np.flatnonzero(share < cut), BACKGROUND_PIXELS, rng))
    pixels = flat[np.concatenate(chosen)]
    target = np.repeat([1.0, -1.0], [len(one) for one in chosen]).astype(np.float32)
    weight = np.concatenate([np.full(len(one), len(pixels) / (2 * len(one))) for one in chosen]).astype(np.float32)
    mean, spread = pixels.mean(axis=0), np.maximum(pixels.std(axis=0), 1e-4)
    features = np.clip((pixels - mean) / spread, -CLIP, CLIP)
    directions = rng.standard_normal((features.shape[1], RANDOM_FEATURES), dtype=np.float32)
    directions *= np.float32(1.5 / np.sqrt(features.shape[1]))
    phases = rng.uniform(0, 2 * np.pi, RANDOM_FEATURES).astype(np.float32)
    inputs = np.concatenate([np.cos(features @ directions + phases), features * np.float32(0.3)], axis=1)
    centre = (weight @ inputs) / weight.sum()
    centred = inputs - centre
    gram = ((centred * weight[:, None]).T @ centred).astype(np.float64) + PENALTY * len(pixels) * np.eye(
        inputs.shape[1]
    )
    slope = np.linalg.solve(gram, (centred * weight[:, None]).T @ target)
    weights = slope.astype(np.float32)
    weights[RANDOM_FEATURES:] *= np.float32(0.3)
    return PixelClassifier(mean, spread, directions, phases, weights, float(-centre @ slope))


_IS_COLOUR = np.array([1, 1, 1, 1, 1, 1] + [0] * 64, dtype=np.float32)
"""Which responses have a mean that is the image's own colour."""


def _draw(places: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return places if len(places) <= count else rng.choice(places, count, replace=False)


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=3.0)


def _shrink(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean over squares of `factor` pixels."""
    side = len(values) // factor
    return values.reshape(side, factor, side, factor).mean(axis=(1, 3)) if factor > 1 else values


def _enlarge(values: np.ndarray) -> np.ndarray:
    """Linear interpolation to the square's side."""
    if len(values) == SIDE:
        return values
    return np.asarray(Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _derivatives(base: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient magnitude and the larger and smaller eigenvalue of the Hessian, normalised by scale."""
    by_row, by_column = np.gradient(base)
    rr, rc = np.gradient(by_row)
    cc = np.gradient(by_column, axis=1)
    centre, radius = (rr + cc) / 2, np.sqrt(((rr - cc) / 2) ** 2 + rc * rc)
    scale = np.float32(sigma * sigma)
    return np.hypot(by_row, by_column) * np.float32(sigma), (centre + radius) * scale, (centre - radius) * scale
