"""Which images are targets, and what is said of those that are not; only names matter here."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpoa.datasets.folder import find_samples, folders_below, images_in
from gpoa.datasets.targets import Targets, find_targets
from gpoa.errors import DataError
from tests.datasets.test_folder import touch


def test_files_of_another_kind_are_counted_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "notes.txt", "more.TXT", "b.nd2", "LICENSE", ".hidden")
    found = find_targets(tmp_path)
    assert found.notes == [
        f"{tmp_path}: 4 files of another kind left out (.txt 2, .nd2 1, no suffix 1)"
    ] or found.notes == [f"{tmp_path}: 4 files of another kind left out (.txt 2, no suffix 1, .nd2 1)"]


def test_images_in_subfolders_are_counted_or_taken(tmp_path: Path) -> None:
    """Equal names in different folders keep their own; hidden folders and links are left out."""
    touch(tmp_path, "a.png", "sub/a.png", "sub/deep/a.png", "sub/deep/a.jpg", ".git/x.png")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    assert find_targets(tmp_path).notes == [
        f"{tmp_path}: 3 images lie in subfolders and are left out; --recursive takes them"
    ]
    found = find_targets(tmp_path, recursive=True)
    assert [sample.stem for sample in found.samples] == ["a", "sub/a", "sub/deep/a_jpg", "sub/deep/a_png"]
    assert found.notes == []


def test_two_trees_with_equal_names(tmp_path: Path) -> None:
    touch(tmp_path, "x/sub/a.png", "y/sub/a.png")
    stems = [sample.stem for sample in find_samples([tmp_path / "x", tmp_path / "y"], recursive=True)]
    assert stems == ["sub/a_png", "sub/a_png_2"]


def test_a_folder_that_holds_only_folders_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "day1/a.png")
    with pytest.raises(DataError, match="only in its subfolders; --recursive takes those"):
        find_targets(tmp_path)
    assert [sample.stem for sample in find_targets(tmp_path, recursive=True).samples] == ["day1/a"]
    with pytest.raises(DataError, match="no image in this folder; known suffixes"):
        find_targets(touch(tmp_path, "none/x.txt") / "none", recursive=True)


def test_what_gpoa_wrote_is_no_target(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.png", "contact_sheet.jpg", "masks/a.png", "overlays/a.jpg", "traces/a.gif", "sub/b.png", "run.json"
    )
    assert [path.name for path in images_in(tmp_path)] == ["a.png"]
    assert [folder.name for folder in folders_below(tmp_path)] == ["sub"]
    assert find_targets(tmp_path, recursive=True).notes == []
    # Without gpoa's folders beside it, a contact sheet is somebody's picture; and whoever names our folder means it.
    assert [path.name for path in images_in(touch(tmp_path / "mine", "contact_sheet.jpg"))] == ["contact_sheet.jpg"]
    assert [sample.stem for sample in find_samples(tmp_path / "masks")] == ["a"]


def test_masks_beside_images_are_no_targets(tmp_path: Path) -> None:
    touch(tmp_path, "set/images/a.png", "set/masks/a.png")
    assert [sample.stem for sample in find_samples(tmp_path, recursive=True)] == ["set/images/a"]


def test_the_reference_and_its_mask_are_left_out_of_a_folder(tmp_path: Path) -> None:
    """Not where the user names them, nor where nothing else is there."""
    touch(tmp_path, "a.png", "ref.png", "ref_mask.png")
    examples = [tmp_path / "sub" / ".." / "ref.png", tmp_path / "ref_mask.png"]
    (tmp_path / "sub").mkdir()
    found = find_targets(tmp_path, examples=examples)
    assert [sample.stem for sample in found.samples] == ["a"]
    assert found.notes == ["left out 2 of 3 targets, which are references or their masks: ref.png, ref_mask.png"]
    assert [sample.stem for sample in find_targets([tmp_path / "ref.png"], examples=examples).samples] == ["ref"]
    alone = touch(tmp_path / "alone", "ref.png")
    assert [sample.stem for sample in find_targets(alone, examples=[alone / "ref.png"]).samples] == ["ref"]


def test_targets_that_were_found_are_not_looked_for_again(tmp_path: Path) -> None:
    found = Targets(find_samples(touch(tmp_path, "a.png")))
    assert find_targets(found, recursive=True) is found
