"""The pixel classifier on squares that are painted by hand."""

from __future__ import annotations

import numpy as np

from gpoa.matching.prior.pixels import SIDE, filter_responses, fit_pixels, normalised, to_square


def _two_colours(foreground: tuple[int, int, int], background: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A square of one colour on another, and its mask."""
    image, mask = np.full((SIDE, SIDE, 3), background, dtype=np.uint8), np.zeros((SIDE, SIDE), dtype=np.float32)
    image[60:180, 40:150] = foreground
    mask[60:180, 40:150] = 1
    return image, mask


def test_to_square_stretches() -> None:
    image = np.zeros((10, 20, 3), dtype=np.uint8)
    image[:, 10:] = 200
    square = to_square(image)
    assert square.shape == (SIDE, SIDE, 3) and square[5, 5, 0] == 0 and square[5, -5, 0] == 200


def test_responses_of_a_flat_image() -> None:
    """No edges: gradients, curvatures and deviations are 0; colours are the image's."""
    responses = filter_responses(np.full((SIDE, SIDE, 3), (255, 0, 0), dtype=np.uint8))
    assert responses.shape == (25, SIDE, SIDE) and np.isfinite(responses).all()
    assert np.allclose(responses[0], 0.299, atol=1e-4) and np.allclose(responses[1], 1, atol=1e-4)
    assert np.abs(responses[6:12]).max() < 1e-4 and np.ptp(responses, axis=(1, 2)).max() < 1e-4


def test_learns_a_colour_and_finds_it_again() -> None:
    image, mask = _two_colours((200, 30, 30), (40, 60, 80))
    classifier = fit_pixels([filter_responses(image)], [mask])
    target = image[::-1, ::-1]
    scores = classifier(filter_responses(np.ascontiguousarray(target)))
    found = scores > 0
    truth = mask[::-1, ::-1] > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.95


def test_normalised_forgets_the_contrast() -> None:
    """Half the contrast around another grey gives the same responses, where colours are concerned."""
    image, _ = _two_colours((180, 180, 180), (60, 60, 60))
    pale = (image // 2 + 50).astype(np.uint8)
    ours, theirs = normalised(filter_responses(image)), normalised(filter_responses(pale))
    assert np.abs(ours[0] - theirs[0]).max() < 0.05


def test_the_same_pixels_give_the_same_classifier() -> None:
    image, mask = _two_colours((200, 30, 30), (40, 60, 80))
    first, second = (fit_pixels([filter_responses(image)], [mask]) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
