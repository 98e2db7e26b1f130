"""Folders, layouts, pairs and classes made of empty files: only names matter here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.datasets.folder import (
    find_classes,
    find_layout,
    find_samples,
    list_images,
    match_stems,
    pair_masks,
    unique_stems,
)
from gpoa.errors import DataError


def touch(root: Path, *names: str) -> Path:
    """Makes empty files, with their folders, and returns the root."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def one_line(info: pytest.ExceptionInfo[DataError], *parts: str) -> None:
    """Checks that the message is one line that names every part."""
    assert "\n" not in str(info.value)
    for part in parts:
        assert part in str(info.value)


def names(paths: list[Path]) -> list[str]:
    """File names only."""
    return [path.name for path in paths]


def test_list_images_in_natural_order_and_nothing_else(tmp_path: Path) -> None:
    """Hidden files, other files and subfolders are left out."""
    touch(tmp_path, "10.png", "2.JPG", "1.tif", "a b.webp", "ß.bmp", ".hidden.png", "._2.jpg", "notes.txt", "Thumbs.db")
    (tmp_path / "folder.png").mkdir()
    assert names(list_images(tmp_path)) == ["1.tif", "2.JPG", "10.png", "a b.webp", "ß.bmp"]


def test_list_images_keeps_a_dangling_link(tmp_path: Path) -> None:
    """It fails when it is read, with a line of its own, instead of vanishing from the batch."""
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert names(list_images(tmp_path)) == ["a.png"]


@pytest.mark.parametrize("find", [list_images, find_samples])
def test_unusable_folder(tmp_path: Path, find: object) -> None:
    """Missing or without an image."""
    with pytest.raises(DataError, match="no such") as info:
        find(tmp_path / "nowhere")
    one_line(info, str(tmp_path / "nowhere"))
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match="no image in this folder; known suffixes") as info:
        find(tmp_path)
    one_line(info, str(tmp_path))


def test_list_images_of_a_file(tmp_path: Path) -> None:
    """A file is no folder."""
    with pytest.raises(DataError, match="is a file, but a folder") as info:
        list_images(touch(tmp_path, "a.png") / "a.png")
    one_line(info, "a.png")


@pytest.mark.parametrize(
    ("files", "stems"),
    [
        (["a.png", "b.png"], ["a", "b"]),
        (["a.jpg", "a.png"], ["a_jpg", "a_png"]),  # both change: neither is "the" a
        (["a.jpg", "a.png", "a_png.png"], ["a_jpg", "a_png_2", "a_png"]),  # a made-up name gives way to a real one
        (["A.png", "a.png"], ["A_png", "a_png_2"]),  # one file where case does not count
        (["x/a.png", "y/a.png"], ["a_png", "a_png_2"]),  # two folders
        (["a.b.png", "a.png"], ["a.b", "a"]),  # a dot in the name
        (["e\u0301.png", "\u00e9.jpg"], ["e\u0301_png", "\u00e9_jpg"]),  # the same letter, composed and not
    ],
)
def test_unique_stems(files: list[str], stems: list[str]) -> None:
    """No two alike, on any file system."""
    assert unique_stems([Path(name) for name in files]) == stems


@given(st.lists(st.from_regex(r"[aA]{1,2}(_png)?(_2)?\.(png|jpg)", fullmatch=True), unique=True))
def test_unique_stems_are_unique(files: list[str]) -> None:
    """Whatever the names."""
    stems = unique_stems([Path(name) for name in files])
    assert len({stem.casefold() for stem in stems}) == len(files)


def test_find_samples_of_file_folder_and_both(tmp_path: Path) -> None:
    """A file named twice counts once; order is the user's."""
    touch(tmp_path, "in/2.png", "in/10.png", "other/c.jpg")
    assert [s.stem for s in find_samples(tmp_path / "other" / "c.jpg")] == ["c"]
    assert [s.stem for s in find_samples(str(tmp_path / "in"))] == ["2", "10"]
    several = [tmp_path / "other" / "c.jpg", tmp_path / "in", tmp_path / "in" / "2.png"]
    assert [s.stem for s in find_samples(several)] == ["c", "2", "10"]


def test_find_samples_keeps_both_of_one_stem(tmp_path: Path) -> None:
    """a.png and a.jpg."""
    samples = find_samples(touch(tmp_path, "a.png", "a.jpg", "b.png"))
    assert [(s.stem, s.image_path.name) for s in samples] == [("a_jpg", "a.jpg"), ("a_png", "a.png"), ("b", "b.png")]


def test_find_samples_in_layouts(tmp_path: Path) -> None:
    """target_image/ of a project; images/ of a class, with the masks that exist."""
    touch(tmp_path, "project/target_image/t.png", "project/reference_image/r.png")
    assert [s.stem for s in find_samples(tmp_path / "project")] == ["t"]
    touch(tmp_path, "class/images/a.jpg", "class/images/b.jpg", "class/masks/b.png")
    samples = find_samples(tmp_path / "class")
    assert [(s.stem, s.mask_path and s.mask_path.name) for s in samples] == [("a", None), ("b", "b.png")]


def test_find_samples_without_anything() -> None:
    """An empty sequence is a mistake too."""
    with pytest.raises(DataError, match="no image was given"):
        find_samples([])


@pytest.mark.parametrize(
    ("left", "right", "pairs"),
    [
        (["a", "b"], ["b", "a"], {0: 1, 1: 0}),
        (["a"], ["a_mask"], {0: 0}),
        (["a", "b", "c", "d", "e"], ["a-mask", "b.mask", "c_gt", "d_seg", "e_masks"], {i: i for i in range(5)}),
        (["a"], ["a_mask", "a"], {0: 1}),  # the equal name first
        (["A"], ["a"], {0: 0}),
        (["a", "A"], ["A", "a"], {0: 1, 1: 0}),  # exact case first
        (["a"], ["ab"], {}),
        (["a_mask"], ["a_gt"], {0: 0}),  # suffixes on both sides
        (["a", "a_seg"], ["a"], {0: 0}),  # one to one
    ],
)
def test_match_stems(left: list[str], right: list[str], pairs: dict[int, int]) -> None:
    """Index to index."""
    assert match_stems(left, right) == pairs


def test_pair_masks(tmp_path: Path) -> None:
    """Two folders by stem; of a.png and a.jpg, each has its own mask."""
    touch(tmp_path, "i/a.png", "i/a.jpg", "i/b c.png", "m/a.png", "m/a.jpg", "m/b c_mask.png")
    pairs = [(s.stem, s.image_path.name, s.mask_path.name) for s in pair_masks(tmp_path / "i", tmp_path / "m")]
    assert pairs == [("a_jpg", "a.jpg", "a.jpg"), ("a_png", "a.png", "a.png"), ("b c", "b c.png", "b c_mask.png")]


def test_pair_masks_names_what_is_left_over(tmp_path: Path) -> None:
    """Both sides, unless allowed."""
    touch(tmp_path, "i/a.png", "i/b.png", "m/b.png", "m/z.png")
    with pytest.raises(DataError, match="no mask for a.png; no image for z.png; name each mask") as info:
        pair_masks(tmp_path / "i", tmp_path / "m")
    one_line(info, str(tmp_path / "m"))
    assert [s.stem for s in pair_masks(tmp_path / "i", tmp_path / "m", allow_missing=True)] == ["b"]


def test_pair_masks_long_lists_are_cut(tmp_path: Path) -> None:
    """The line stays readable."""
    touch(tmp_path, "m/x.png", *(f"i/{number}.png" for number in range(30)))
    with pytest.raises(DataError, match="0.png, .*7.png and 22 more"):
        pair_masks(tmp_path / "i", tmp_path / "m")


def test_pair_masks_without_any_pair(tmp_path: Path) -> None:
    """Even where leftovers are allowed."""
    touch(tmp_path, "i/a.png", "m/b.png")
    with pytest.raises(DataError, match="no mask has the name of an image") as info:
        pair_masks(tmp_path / "i", tmp_path / "m", allow_missing=True)
    one_line(info, str(tmp_path / "i"), str(tmp_path / "m"))


@pytest.mark.parametrize(
    "folders",
    [
        ["reference_image", "reference_mask", "target_image", "initial_indices", "optimized_indices"],
        ["reference_images", "reference_masks", "target_images", "initial_prompts", "optimized_prompts"],
        ["Reference-Image", "reference mask", "Target_Images", "initial_prompts", "optimized_prompts"],
    ],
)
def test_find_layout(tmp_path: Path, folders: list[str]) -> None:
    """All accepted names."""
    for name in folders:
        (tmp_path / name).mkdir()
    layout = find_layout(tmp_path)
    found = [layout.reference_images, layout.reference_masks, layout.target_images]
    assert names([*found, layout.initial_prompts, layout.optimized_prompts]) == folders


def test_find_layout_in_part_and_not_at_all(tmp_path: Path) -> None:
    """What is not there is None; nothing there is an error."""
    with pytest.raises(DataError, match="expected some of reference_image/") as info:
        find_layout(tmp_path)
    one_line(info, str(tmp_path))
    (tmp_path / "target_image").mkdir()
    assert find_layout(tmp_path).reference_images is None
    assert find_layout(tmp_path).target_images == tmp_path / "target_image"
    with pytest.raises(DataError, match="no such folder"):
        find_layout(tmp_path / "nowhere")


def test_find_classes(tmp_path: Path) -> None:
    """A class, a set, a folder of sets."""
    touch(
        tmp_path, "s/two/images/a.jpg", "s/two/masks/a.png", "s/one/images/b.jpg", "s/one/masks/b.png", "s/source.json"
    )
    touch(tmp_path, "kvasir/images/k.jpg", "kvasir/masks/k.png")
    assert [name for name, _ in find_classes(tmp_path)] == ["kvasir", "s/one", "s/two"]
    assert [name for name, _ in find_classes(tmp_path / "s")] == ["one", "two"]
    ((name, samples),) = find_classes(tmp_path / "kvasir")
    assert (name, samples[0].stem, samples[0].mask_path) == ("kvasir", "k", tmp_path / "kvasir" / "masks" / "k.png")


def test_find_classes_without_any(tmp_path: Path) -> None:
    """Says what is expected."""
    with pytest.raises(DataError, match="expected images/ and masks/") as info:
        find_classes(touch(tmp_path, "a/b.png"))
    one_line(info, str(tmp_path))
