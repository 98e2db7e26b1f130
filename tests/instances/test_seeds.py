"""Seeds: one for each object, also where two touch and where small ones lie beside large ones."""

from __future__ import annotations

import numpy as np

from gpoa.instances.seeds import find_seeds

Y, X = np.mgrid[:60, :90]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """Probability that falls off over a few pixels at the outline."""
    return 1 / (1 + np.exp(np.hypot(X - x, Y - y) - radius))


def test_touching_discs_are_parted_and_a_small_one_is_kept() -> None:
    probability = np.maximum.reduce([disc(20, 30, 12), disc(42, 30, 12), disc(75, 30, 4)])
    seeds = find_seeds(probability, 20)
    assert len(seeds.xy) == 3
    found = seeds.xy[np.argsort(seeds.xy[:, 0])]
    assert np.abs(found - [[20, 30], [42, 30], [75, 30]]).max() < 3
    assert sorted(np.unique(seeds.cells)) == [0, 1, 2, 3]
    assert seeds.cells[30, 20] != seeds.cells[30, 42]


def test_one_disc_is_one_seed() -> None:
    assert len(find_seeds(disc(40, 30, 20), 40).xy) == 1


def test_eight_pixel_objects_are_found() -> None:
    small = np.maximum.reduce([disc(10 + 15 * i, 15 + 15 * j, 1.6) for i in range(5) for j in range(3)])
    assert len(find_seeds(small, 3.2).xy) == 15


def test_nothing_and_everything() -> None:
    nothing = find_seeds(np.zeros((20, 30)), 10)
    assert nothing.xy.shape == (0, 2) and not nothing.cells.any() and not nothing.territories.any()
    assert len(find_seeds(np.ones((20, 30)), 10).xy) == 1
