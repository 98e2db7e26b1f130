"""Means, intervals and pairing by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpoa.evaluation.protocol import (
    bootstrap,
    by_class,
    class_means,
    differences,
    interval,
    reference_episodes,
    set_mean,
    share_worse,
)
from gpoa.types import Sample


def row(name: str, image: str, method: str, iou: float, seed: int = 0, reference: str = "r") -> dict:
    return {"class": name, "reference": reference, "image": image, "method": method, "seed": seed, "iou": iou}


def test_references_are_first_middle_last_and_never_their_own_target():
    samples = [Sample(name, Path(name)) for name in "abcde"]
    episodes = reference_episodes(samples, 3)
    assert [(one.stem, "".join(other.stem for other in others)) for one, others in episodes] == [
        ("a", "bcde"),
        ("c", "abde"),
        ("e", "abcd"),
    ]
    assert len(reference_episodes(samples[:2], 3)) == 2  # middle and last are the same image


def test_images_of_several_seeds_count_once():
    rows = [row("a", "1", "m", 0.2, seed=0), row("a", "1", "m", 0.4, seed=1), row("a", "2", "m", 0.9)]
    assert by_class(rows, "m")["a"] == pytest.approx([0.3, 0.9])


def test_mean_over_images_then_classes_then_sets():
    rows = [row("s/a", "1", "m", 1.0), row("s/a", "2", "m", 0.0), row("s/b", "1", "m", 1.0), row("t", "1", "m", 0.0)]
    assert class_means(rows, "m") == {"s/a": 0.5, "s/b": 1.0, "t": 0.0}
    assert set_mean(class_means(rows, "m")) == pytest.approx((0.75 + 0.0) / 2)


def test_pairs_go_by_image_not_by_order():
    rows = [row("a", "1", "m", 0.5), row("a", "2", "m", 0.1), row("a", "2", "b", 0.2), row("a", "1", "b", 0.3)]
    assert differences(rows, "m", "b")["a"] == pytest.approx([0.2, -0.1])
    assert share_worse(rows, "m", "b") == 0.5


def test_a_constant_difference_has_an_interval_of_no_width():
    rows = [row("a", str(i), "m", i / 10 + 0.1) for i in range(5)] + [row("a", str(i), "b", i / 10) for i in range(5)]
    assert interval(rows, "m", "b") == pytest.approx((0.1, 0.1))


def test_bootstrap_holds_the_mean_and_narrows_with_more_images():
    rng = np.random.default_rng(1)
    few, many = rng.normal(0.5, 0.1, 10), rng.normal(0.5, 0.1, 1000)
    (low, high), (low_many, high_many) = bootstrap({"a": few}), bootstrap({"a": many})
    assert low < few.mean() < high
    assert high_many - low_many < (high - low) / 4


def test_different_images_cannot_be_compared():
    with pytest.raises(ValueError, match="different images"):
        differences([row("a", "1", "m", 0.5), row("a", "2", "m", 0.5), row("a", "1", "b", 0.3)], "m", "b")
