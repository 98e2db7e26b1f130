"""Windows: their cores cover the image once, and their halos reach as far as is asked."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.instances.sizes import SizeRange
from gpoa.instances.tiles import SMALLEST_SIDE, halo_for, reference_tiles, tile_grid, tile_side


@pytest.mark.parametrize("size", [(300, 700), (160, 12_000), (1000, 1000), (161, 480)])
def test_cores_cover_the_image_once(size: tuple[int, int]) -> None:
    seen = np.zeros(size, dtype=np.int64)
    for tile in tile_grid(size, 200, 30):
        seen[tile.core] += 1
        for outer, core, length in zip(tile.outer, tile.core, size, strict=True):
            assert 0 <= outer.start <= core.start < core.stop <= outer.stop <= length
            assert outer.stop - outer.start == min(200, length)
            assert core.start - outer.start >= 29 or core.start == outer.start == 0
            assert outer.stop - core.stop >= 29 or core.stop == outer.stop == length
    assert (seen == 1).all()


def test_a_grid_larger_than_the_image_is_one_window() -> None:
    whole = (slice(0, 50), slice(0, 90))
    assert [(tile.outer, tile.core) for tile in tile_grid((50, 90), 4000, 100)] == [(whole, whole)]


def test_sides_follow_the_objects() -> None:
    small, large = SizeRange(5, 4, 9, 0.4, 9), SizeRange(40, 30, 60, 0.4, 9)
    assert (tile_side(small), tile_side(large), tile_side(large, 300)) == (SMALLEST_SIDE, 640, 300)
    assert halo_for(large, 640) == 49 and halo_for(SizeRange(40, 30, 900, 1, 9), 640) == 160


def test_windows_with_most_objects_teach() -> None:
    labels = np.zeros((100, 400), dtype=np.int32)
    labels[10:20, 310:320], labels[50:60, 330:340], labels[10:20, 10:20] = 1, 2, 3
    tiles = tile_grid((100, 400), 100, 10)
    best = reference_tiles(labels, tiles, 2)
    assert len(best) == 2 and best[0].outer[1].stop == 400
    assert reference_tiles(np.ones((100, 400), dtype=np.int32), tiles, 2) == []  # no background anywhere
