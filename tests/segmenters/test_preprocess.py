"""Our preprocessing and upscaling beside `segment_anything`'s own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.utils.transforms import ResizeLongestSide

from gpoa.segmenters.base import upscale_logits
from gpoa.segmenters.preprocess import PIXEL_STD, preprocess
from tests.segmenters.builders import random_sam

SIZES = [(30, 50), (77, 20), (1100, 1300), (1024, 7)]  # wide, tall, shrunk, thin


@pytest.mark.parametrize("size", SIZES)
def test_preprocess_is_sams(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    before = image.copy()
    pixels, inside = preprocess(image)
    resized = ResizeLongestSide(1024).apply_image(image)
    expected = random_sam().preprocess(torch.from_numpy(resized.copy()).permute(2, 0, 1)[None].float()).numpy()
    assert inside == resized.shape[:2] == ResizeLongestSide.get_preprocess_shape(*size, 1024)
    assert (pixels.shape, pixels.dtype) == ((1, 3, 1024, 1024), np.float32)
    np.testing.assert_allclose(pixels, expected, atol=1 / PIXEL_STD.min() + 1e-5)  # one grey level
    np.testing.assert_array_equal(pixels[..., inside[0] :, :], 0)
    np.testing.assert_array_equal(pixels[..., inside[1] :], 0)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("size", SIZES)
def test_upscaling_is_sams(size: tuple[int, int]) -> None:
    logits = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    inside = ResizeLongestSide.get_preprocess_shape(*size, 1024)
    expected = random_sam().postprocess_masks(torch.from_numpy(logits)[None, None], inside, size)[0, 0].numpy()
    upscaled = upscale_logits(logits, inside, size)
    assert (upscaled.shape, upscaled.dtype) == (size, np.float32)
    np.testing.assert_allclose(upscaled, expected, atol=1e-5)
