"""`gpoa run` and `gpoa prompts` with points in place of a mask."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import gpoa.pipeline.backbones
import gpoa.pipeline.image
from gpoa.cli.main import main
from gpoa.datasets.mask_io import load_mask
from tests.fake_backbones import FakeBackbones
from tests.red_squares import make_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (gpoa.pipeline.image, gpoa.pipeline.backbones):
        monkeypatch.setattr(module, "Backbones", FakeBackbones)
    monkeypatch.setenv("GPOA_CACHE", str(tmp_path / "cache"))
    return make_folder(tmp_path)


def _main(folder: Path, *more: str, verb: str = "run") -> int:
    flags = ["--reference", str(folder / "ref.png"), "--targets", str(folder / "images")]
    return main([verb, *flags, "--output", str(folder / "out"), *more])


def test_points_make_the_mask_and_show_it(folder: Path) -> None:
    """The mask lies beside the output, every target is segmented with it, and the sheet begins with the reference."""
    assert _main(folder, "--strategy", "none", "--points", "35,30", "--not", "2,2") == 0
    mask = load_mask(folder / "out" / "reference_masks" / "ref.png", (60, 90))
    assert mask[30, 35] and not mask[2, 2]
    assert len(list((folder / "out" / "masks").iterdir())) == 3
    assert (folder / "out" / "contact_sheet.jpg").is_file()
    before = (folder / "out" / "run.json").read_text()
    assert "--points 35,30" in before and '"status": "ok"' in before
    assert _main(folder, "--strategy", "none", "--points", "35,30", "--not", "2,2") == 0  # resumed: the same mask
    assert '"status": "kept"' in (folder / "out" / "run.json").read_text()


def test_prompts_takes_them_too(folder: Path) -> None:
    assert _main(folder, "--points", "35,30", verb="prompts") == 0
    assert (folder / "out" / "t0.json").is_file() and (folder / "out" / "reference_masks" / "ref.png").is_file()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--points", "90,10"], "ref.png: point 90,10 lies outside the image of 90x60"),
        (["--points", "10"], "--points 10: expected x,y in pixels"),
        (["--box", "1,2,3,x"], "--box 1,2,3,x: expected x0,y0,x1,y1"),
        (["--points", "35,30", "--mask", "mask.png"], "--mask and --points or --box: give one of them"),
        (["--points", "35,30", "--not-box", "0,0,90,60"], "ref.png: the marks make an empty mask"),
        (["--not", "1,1"], "only where the object is not"),
        ([], "--mask is missing; or point at the object"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert _main(folder, *flags) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said


def test_several_references_need_masks(folder: Path, capsys: pytest.CaptureFixture) -> None:
    Image.new("RGB", (90, 60)).save(folder / "other.png")
    images = [str(folder / name) for name in ("ref.png", "other.png")]
    arguments = ["run", "--reference", *images, "--targets", str(folder / "images"), "--output", str(folder / "out")]
    assert main([*arguments, "--points", "35,30"]) == 2
    assert "for one reference image, but 2 are given" in capsys.readouterr().err
