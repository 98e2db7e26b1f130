"""Which of several outlines are kept, and who owns a pixel."""

from __future__ import annotations

import numpy as np

from gpoa.instances.fusion import average, numbered, paint, suppress, union
from gpoa.instances.objects import Found


def box(top: int, left: int, height: int, width: int, score: float) -> Found:
    xy = left + (width - 1) / 2, top + (height - 1) / 2
    window = slice(top, top + height), slice(left, left + width)
    return Found(window, np.ones((height, width), dtype=bool), score, xy, "sam")


def test_the_same_object_twice_and_a_part_of_it_are_dropped() -> None:
    best, again, part = box(0, 0, 10, 10, 0.9), box(1, 0, 10, 10, 0.8), box(2, 2, 4, 4, 0.7)
    other = box(20, 0, 5, 5, 0.6)
    assert suppress([other, part, again, best], 0.5) == [best, other]


def test_halves_win_over_the_clump_where_they_score_higher() -> None:
    clump, left, right = box(0, 0, 10, 20, 0.6), box(0, 0, 10, 10, 0.8), box(0, 10, 10, 10, 0.7)
    assert suppress([clump, left, right], 0.5) == [left, right]
    assert suppress([box(0, 0, 10, 20, 0.9), left, right], 0.5)[0].area == 200


def test_an_outline_covered_by_several_better_ones_is_dropped() -> None:
    # Each covers 40 %, together 80 %.
    wide = box(0, 0, 10, 10, 0.5)
    better = [box(0, -4 + 4, 40, 4, 0.9), box(0, 6, 40, 4, 0.8)]
    assert wide not in suppress([wide, *better], 0.1)


def test_low_scores_are_dropped() -> None:
    assert suppress([box(0, 0, 3, 3, 0.2)], 0.3) == []


def test_a_pixel_belongs_to_the_better_one() -> None:
    objects = paint([box(0, 0, 4, 6, 0.5), box(0, 4, 4, 6, 0.9)], (4, 10))
    assert objects.labels[0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert objects.scores.tolist() == [np.float32(0.5), np.float32(0.9)] and objects.labels.dtype == np.uint16


def test_what_is_hardly_seen_is_left_out() -> None:
    assert paint([box(0, 0, 4, 10, 0.9), box(0, 6, 4, 6, 0.5)], (4, 12)).count == 1


def test_more_than_65535_objects_need_32_bits() -> None:
    count = 70_000
    owner = np.arange(1, count + 1, dtype=np.uint32)[None]
    one = box(0, 0, 1, 1, 0.5)
    objects = numbered(owner, [one] * count, 0, 1)
    assert objects.labels.dtype == np.uint32 and objects.count == count and (objects.labels == owner).all()


def test_union_joins_what_overlaps() -> None:
    joined = union([box(0, 0, 4, 6, 0.5), box(0, 2, 4, 6, 0.9), box(10, 0, 4, 4, 0.4)])
    assert sorted((one.area, one.score) for one in joined) == [(16, 0.4), (32, 0.9)]


def test_average_gives_contested_pixels_to_the_nearer_seed() -> None:
    objects = average([box(0, 0, 9, 12, 0.5), box(0, 8, 9, 12, 0.9)], (9, 20), sigma=4)
    assert objects.count == 2
    assert objects.labels[4, 9] == objects.labels[4, 0] != objects.labels[4, 10] == objects.labels[4, 19]
