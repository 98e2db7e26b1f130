"""`gpoa watch` and `gpoa suggest` with stand-ins for the models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gpoa.pipeline.backbones
import gpoa.pipeline.image
from gpoa.cli.main import main
from tests.fake_backbones import FakeBackbones
from tests.red_squares import make_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (gpoa.pipeline.image, gpoa.pipeline.backbones):
        monkeypatch.setattr(module, "Backbones", FakeBackbones)
    monkeypatch.setenv("GPOA_CACHE", str(tmp_path / "cache"))
    return make_folder(tmp_path)


def _watch(folder: Path, *more: str) -> int:
    reference = ["--reference", str(folder / "ref.png"), "--mask", str(folder / "mask.png"), "--strategy", "none"]
    timing = ["--every", "0.05", "--idle", "0.3"]
    return main(["watch", str(folder / "images"), *reference, "--output", str(folder / "out"), *timing, *more])


def test_watch_ends_when_nothing_comes_and_says_the_latency(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert _watch(folder) == 0
    said = capsys.readouterr().out
    assert "t0   ok   " in said and "s after it was seen" in said and "latency    median" in said
    assert len(list((folder / "out" / "masks").iterdir())) == 3
    assert _watch(folder, "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [row["status"] for row in rows] == ["kept"] * 3 and all(row["latency"] >= 0 for row in rows)


def test_watch_refuses_bad_times(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert _watch(folder, "--every", "0") == 2
    assert "--every and --idle: more than 0 seconds" in capsys.readouterr().err


def test_suggest_names_images_and_draws_them(folder: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["suggest", str(folder / "images"), "-n", "2", "--sheet", str(folder / "sheet.jpg")]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["images"]) == 2 and found["seen"] == 3 and (folder / "sheet.jpg").is_file()
    assert main(arguments) == 0
    assert "coverage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--count", "0"], "--count 0: at least 1"),
        (["--given", "other.png"], "--given other.png: is none of the 3 images"),
    ],
)
def test_suggest_refuses(folder: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["suggest", str(folder / "images"), *flags]) == 2
    assert message in capsys.readouterr().err
