"""A second run over an output folder: what is kept, made again, named; and what is never overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.errors import DataError
from gpoa.pipeline.outputs import check_apart, coco_names
from gpoa.types import Sample
from tests.fake_backbones import FakeBackbones
from tests.red_squares import files, make_folder, run, save_square


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of red squares."""
    monkeypatch.setattr("gpoa.pipeline.image.Backbones", FakeBackbones)
    return make_folder(tmp_path)


@pytest.mark.parametrize(
    "gone, said",
    [
        ("overlays/t1.jpg", "3 already there"),  # drawn again from the mask
        ("initial_prompts/pictures/t1.jpg", "3 already there"),
        ("initial_prompts/t1.json", "1 segmented, 2 already there"),
        ("initial_prompts/t1.npz", "1 segmented, 2 already there"),
        ("optimized_prompts/t1.json", "1 segmented, 2 already there"),
        ("optimized_prompts/t1.npz", "1 segmented, 2 already there"),
        ("masks/t1.png", "1 segmented, 2 already there"),
        ("contact_sheet.jpg", "3 already there"),
    ],
)
def test_what_is_missing_is_made_again(work: Path, capsys: pytest.CaptureFixture[str], gone: str, said: str):
    assert run(work) == 0
    before = {name: (work / "out" / name).read_bytes() for name in files(work / "out")}
    (work / "out" / gone).unlink()
    capsys.readouterr()
    assert run(work) == 0
    assert said in capsys.readouterr().out
    after = {name: (work / "out" / name).read_bytes() for name in files(work / "out")}
    assert {name for name in before if before[name] != after.get(name)} == {"run.json"}


def test_a_cut_off_mask_is_made_again(work: Path, capsys: pytest.CaptureFixture[str]):
    assert run(work) == 0
    mask = work / "out" / "masks" / "t1.png"
    whole = mask.read_bytes()
    mask.write_bytes(b"")
    assert run(work, "--coco") == 0
    assert "1 segmented, 2 already there" in capsys.readouterr().out and mask.read_bytes() == whole


def test_masks_of_targets_that_are_gone_are_named_and_kept(work: Path, capsys: pytest.CaptureFixture[str]):
    assert run(work) == 0
    assert "belong" not in capsys.readouterr().out
    Image.open(work / "images" / "t0.png").save(work / "images" / "t0.bmp")  # so t0 becomes t0_png and t0_bmp
    (work / "images" / "t2.png").unlink()
    assert run(work) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "belong" in line]
    assert said == [f"  {work / 'out' / 'masks'}: 2 files belong to no target of this run (t0.png, t2.png)"]
    assert files(work / "out" / "masks") == ["t0.png", "t0_bmp.png", "t0_png.png", "t1.png", "t2.png"]


def test_two_target_folders_with_equal_names_have_their_own_coco_images(work: Path):
    save_square(work / "more" / "t1.png", 30)
    assert run(work, "--coco", targets=("images", "more")) == 0
    images = json.loads((work / "out" / "coco.json").read_text())["images"]
    names = [image["file_name"] for image in images]
    assert names == ["images/t0.png", "images/t1.png", "images/t2.png", "more/t1.png"]


@pytest.mark.parametrize(
    "samples, names",
    [
        ([("a", "x/a.png"), ("b", "y/b.png")], ["a.png", "b.png"]),
        ([("a", "x/a.png"), ("sub/a", "x/sub/a.png")], ["a.png", "sub/a.png"]),
        ([("sub/a", "x/sub/a.png")], ["sub/a.png"]),  # below the targets' folder, even if there is only one
        ([("a_png", "x/a.png"), ("a_png_2", "y/a.png")], ["x/a.png", "y/a.png"]),
    ],
)
def test_coco_names(samples: list[tuple[str, str]], names: list[str]):
    assert coco_names([Sample(stem, Path(path)) for stem, path in samples]) == names


def test_subfolders_are_mirrored(work: Path, capsys: pytest.CaptureFixture[str]):
    save_square(work / "images" / "day 1" / "t0.png", 30)
    save_square(work / "images" / "day 1" / "deep" / "u.png", 40)
    assert run(work) == 0
    assert (
        f"{work / 'images'}: 2 images lie in subfolders and are left out; --recursive takes" in capsys.readouterr().out
    )
    assert run(work, "--recursive", "--coco") == 0
    assert "2 segmented, 3 already there of 5 images" in capsys.readouterr().out
    expected = ["day 1/deep/u.png", "day 1/t0.png", "t0.png", "t1.png", "t2.png"]
    assert files(work / "out" / "masks") == expected
    assert {"overlays/day 1/deep/u.jpg", "initial_prompts/pictures/day 1/t0.jpg"} <= set(files(work / "out"))
    made = np.asarray(Image.open(work / "out" / "masks" / "day 1" / "t0.png")) > 0
    assert made[30, 45] and not made[30, 10]
    coco = json.loads((work / "out" / "coco.json").read_text())
    assert sorted(image["file_name"] for image in coco["images"]) == expected
    assert run(work, "--recursive") == 0
    assert "5 already there" in capsys.readouterr().out


@pytest.mark.parametrize("out", ["images", "images/out"])
@pytest.mark.parametrize("extra", [(), ("--recursive",)])
def test_output_in_the_targets_folder(work: Path, capsys: pytest.CaptureFixture[str], out: str, extra: tuple[str, ...]):
    assert run(work, *extra, out=out) == 0
    assert run(work, *extra, out=out) == 0
    said = capsys.readouterr().out.splitlines()
    assert sum("of 3 images" in line for line in said) == 2 and any("3 already there" in line for line in said)
    assert files(work / out / "masks") == ["t0.png", "t1.png", "t2.png"]


def test_targets_that_the_run_would_overwrite_are_refused(work: Path, capsys: pytest.CaptureFixture[str]):
    save_square(work / "data" / "masks" / "a.png", 10)
    assert run(work, targets=("data/masks",), out="data") == 2
    line = capsys.readouterr().err.strip()
    assert "lies in its masks/, where this run writes; choose another --output" in line and "\n" not in line
    with pytest.raises(DataError, match="overlays"):
        check_apart([Sample("a", work / "out" / "overlays" / "sub" / "a.jpg")], work / "out")


def test_the_reference_is_written_only_where_it_is_wanted(work: Path, capsys: pytest.CaptureFixture[str]):
    kept = work / "out" / "initial_prompts" / "reference.gpoa.npz"
    assert run(work) == 0
    assert not kept.exists()
    assert run(work, "--keep-reference") == 0
    first = kept.read_bytes()
    save_square(work / "ref.png", 22)  # another reference: the file must not stay beside the new prompts
    assert run(work) == 0
    assert kept.read_bytes() != first


def test_a_name_that_is_not_utf_8(work: Path, capsys: pytest.CaptureFixture[str]):
    name = "caf\udce9"  # Latin-1, as a Windows archive unpacks it
    try:
        save_square(work / "images" / f"{name}.png", 30)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    (work / "images" / f"{name}.txt").touch()
    assert run(work) == 0
    assert run(work, "--json") == 0
    plain = json.loads(capsys.readouterr().out.splitlines()[-1])
    stored = json.loads((work / "out" / "run.json").read_text())
    assert name in [image["stem"] for image in stored["images"]] and name in [i["stem"] for i in plain["images"]]
    assert (work / "out" / "masks" / f"{name}.png").is_file()
