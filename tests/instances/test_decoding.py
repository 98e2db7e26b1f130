"""The prompts of each object, and masks cut out of the decoder's frame."""

from __future__ import annotations

import numpy as np

from gpoa.instances.decoding import cell_outlines, logits_to_grid, object_prompts
from gpoa.instances.judging import evidence, scores, solidity
from gpoa.instances.seeds import find_seeds
from gpoa.instances.sizes import SizeRange
from gpoa.segmenters.base import upscale_logits

Y, X = np.mgrid[:60, :90]
PROBABILITY = np.maximum.reduce(
    [1 / (1 + np.exp(np.hypot(X - x, Y - y) - 8)) for x, y in ((15, 15), (45, 15), (75, 15), (15, 45), (75, 45))]
)
SEEDS = find_seeds(PROBABILITY, 16)
SIZES = SizeRange(16, 14, 18, 0.35, 5)


def test_each_object_has_its_seed_its_box_and_its_nearest_neighbours() -> None:
    sets = object_prompts(SEEDS, (120, 180), 3, with_box=True)  # the image is twice as large as the grid
    assert len(sets) == 5
    for one in sets:
        assert one.point_labels.tolist() == [1, 0, 0, 0]
        distances = np.hypot(*(one.point_coords[1:] - one.point_coords[0]).T)
        others = [np.hypot(*(other.point_coords[0] - one.point_coords[0])) for other in sets if other is not one]
        assert sorted(distances) == sorted(others)[:3]
        x0, y0, x1, y1 = one.box
        assert x0 < one.point_coords[0, 0] < x1 and y0 < one.point_coords[0, 1] < y1 and x1 - x0 < 48


def test_a_single_object_has_no_negatives() -> None:
    alone = find_seeds(np.where(X < 30, PROBABILITY, 0) * (Y < 30), 16)
    assert object_prompts(alone, (60, 90), 3, with_box=False)[0].point_labels.tolist() == [1]


def test_masks_are_cut_out_as_the_whole_is_enlarged() -> None:
    rows, columns = np.mgrid[:256, :256]
    logits = (9 - np.hypot(rows - 60.3, columns - 141.8)).astype(np.float32)
    size = (300, 420)  # (H, W); SAM's frame holds 183 of its 256 rows
    whole = upscale_logits(logits, (731, 1024), size) > 0
    found = logits_to_grid(logits, size, size)
    assert found is not None
    mine = np.zeros(size, dtype=bool)
    mine[found[0]] = found[1]
    assert (mine & whole).sum() / (mine | whole).sum() > 0.97
    assert logits_to_grid(np.full((256, 256), -1, np.float32), size, size) is None


def test_a_good_outline_scores_higher_than_half_of_it_and_than_two_objects() -> None:
    cells = list(cell_outlines(SEEDS))
    assert len(cells) == 5
    good = cells[0]._replace(is_cell=False, iou=0.9)
    half = good._replace(mask=good.mask & (np.arange(good.mask.shape[1]) < good.mask.shape[1] // 2))
    everything = good._replace(window=(slice(0, 60), slice(0, 90)), mask=np.ones((60, 90), dtype=bool))
    table = evidence([good, half, everything], SEEDS, PROBABILITY, SIZES)
    best, less, least = scores(table)
    assert best > less + 0.2 and best > least + 0.2
    assert table[:, 6].tolist() == [0, 0, 3]  # territories claimed beyond the first


def test_solidity_of_a_disc_and_of_two() -> None:
    disc = np.hypot(Y - 30, X - 30) < 10
    assert solidity(disc) > 0.97
    assert solidity(disc | (np.hypot(Y - 30, X - 49) < 10)) < 0.95
