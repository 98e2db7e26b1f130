"""Labelled examples from files and arrays, and which targets are no targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpoa.datasets.folder import find_samples
from gpoa.datasets.options import MaskOptions
from gpoa.datasets.shots import describe_shots, load_shot, say_left_out, without_references
from gpoa.errors import DataError, MaskError
from tests.datasets.files import store

IMAGE = np.zeros((2, 3, 3), np.uint8)
LABELS = np.array([[1, 2, 2], [0, 1, 1]], np.int64)


def test_options_reach_files_and_arrays(tmp_path: Path) -> None:
    """The same flags for both."""
    np.save(tmp_path / "m.npy", LABELS)
    for mask in (LABELS, tmp_path / "m.npy"):
        assert load_shot(IMAGE, mask)[1].sum() == 5
        assert load_shot(IMAGE, mask, MaskOptions(label=2))[1].tolist() == [[False, True, True], [False] * 3]
        assert load_shot(IMAGE, mask, MaskOptions(mask_threshold=1.5))[1].sum() == 2
        assert load_shot(IMAGE, mask, MaskOptions(invert_mask=True))[1].sum() == 1


def test_arrays_that_are_no_masks() -> None:
    """One line each."""
    for mask, match in (
        (np.ones((3, 3), bool), "has shape"),
        (np.zeros((2, 3), bool), "mask array: the mask is empty"),
        (np.ones((2, 3), bool), "mask array: the mask covers the whole image"),
        (LABELS + 1, "mask array: no pixel is 0.*--label 3"),
        (np.full((2, 3), "a"), "mask array: <U1"),
    ):
        with pytest.raises(MaskError, match=match):
            load_shot(IMAGE, mask)


def test_describe_shots(tmp_path: Path) -> None:
    """One mask needs no name, several have theirs."""
    image = store(tmp_path / "a.png", IMAGE)
    one, two = (store(tmp_path / f"{name}.png", (LABELS == 2).astype(np.uint8) * 255) for name in ("one", "two"))
    assert describe_shots(image, one) == ["reference mask: 33.3 % of the image is object"]
    assert describe_shots([image, image], [one, two])[1] == "reference mask two.png: 33.3 % of the image is object"
    with pytest.raises(DataError, match="2 reference images but 1 masks"):
        describe_shots([image, image], [one])


def test_references_are_left_out(tmp_path: Path) -> None:
    """The reference, its mask, and a copy of the reference; the same path written in another way."""
    names = ("a", "ref", "ref_mask", "copy")
    for number, name in enumerate(names):
        store(tmp_path / f"{name}.png", np.full((4, 5, 3), 40 * number, np.uint8))
    (tmp_path / "copy.png").write_bytes((tmp_path / "ref.png").read_bytes())
    (tmp_path / "sub").mkdir()
    samples = find_samples(tmp_path)
    reference, mask = tmp_path / "sub" / ".." / "ref.png", tmp_path / "ref_mask.png"
    kept, left_out = without_references(samples, [reference, mask])
    assert [sample.stem for sample in kept] == ["a"]
    assert say_left_out(left_out, 4) == (
        "left out 3 of 4 targets, which are references or their masks: copy.png, ref.png, ref_mask.png"
    )


def test_the_reference_alone_is_a_target(tmp_path: Path) -> None:
    """Whoever names nothing else wants it segmented."""
    samples = find_samples(store(tmp_path / "ref.png", IMAGE))
    assert without_references(samples, [tmp_path / "ref.png", tmp_path / "m.png"]) == (samples, [])
