"""Many images, by an extractor that takes one at a time and by one that takes several."""

from __future__ import annotations

import numpy as np

from gpoa.features.base import extract_many

IMAGES = [np.full((2, 3, 3), value, np.uint8) for value in (4, 2)]


class _Plain:
    def extract(self, image: np.ndarray) -> int:
        return int(image[0, 0, 0])


class _Together(_Plain):
    def extract_many(self, images: list[np.ndarray]) -> list[int]:
        return [100 + self.extract(image) for image in images]


def test_one_by_one_or_together() -> None:
    assert extract_many(_Plain(), IMAGES) == [4, 2]
    assert extract_many(_Together(), IMAGES) == [104, 102]
    assert extract_many(_Together(), IMAGES[:1]) == [4]  # one is the matter of `extract`
    assert extract_many(_Plain(), []) == []
