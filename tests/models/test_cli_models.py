"""`gpoa models`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpoa.cli import models
from gpoa.errors import ModelError
from gpoa.models import zoo
from tests.models.fakes import CONTENT, tiny_entry


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.ZOO, "tiny", tiny_entry())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "given.pth"
    path.write_bytes(CONTENT)
    return path


def test_first_line_of_the_module_is_its_help() -> None:
    assert (models.__doc__ or "").splitlines()[0] == "List, fetch and verify the models that gpoa uses."


def test_fetch_prints_licence_and_digest(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "root")
    assert models.main(["fetch", "tiny", "--from", str(file), "--checkpoints", root]) == 0
    out = capsys.readouterr().out
    assert "licence: CC0" in out
    assert f"sha256 {tiny_entry().sources[0].sha256}  tiny.pth" in out
    assert models.main(["verify", "--checkpoints", root]) == 0
    assert capsys.readouterr().out == "tiny: 1 files agree with their recorded SHA-256\n"
    assert models.main(["path", "tiny", "--checkpoints", root]) == 0
    assert capsys.readouterr().out == f"{root}/tiny\n"


def test_list(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "root")
    models.main(["fetch", "tiny", "--from", str(file), "--checkpoints", root])
    (tmp_path / "root" / "mobile_sam").mkdir()
    (tmp_path / "root" / "mobile_sam" / "encoder.onnx").write_text("half")
    capsys.readouterr()
    assert models.main(["list", "--checkpoints", root]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " yes " in lines["tiny"]
    assert " damaged " in lines["mobile_sam"]
    assert " no " in lines["sam_vit_h"]


def test_list_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["list", "--json", "--checkpoints", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["checkpoints"] == str(tmp_path)
    assert [row["name"] for row in answer["models"]] == list(zoo.ZOO)
    assert not any(row["installed"] for row in answer["models"])


def test_fetch_tries_every_model_and_reports_each_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.ZOO, "twin", tiny_entry(name="twin"))
    with pytest.raises(ModelError, match=r"tiny cannot be fetched .*; twin cannot be fetched"):
        models.main(["fetch", "tiny", "twin", "--checkpoints", str(tmp_path)])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fetch", "tinny"], "did you mean tiny"),
        (["fetch", "--from", "x"], "name the one model that it holds"),  # the default is two models
        (["verify"], "no model is installed"),
        (["path", "tiny"], "tiny is not installed"),
    ],
)
def test_mistakes(tmp_path: Path, argv: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        models.main([*argv, "--checkpoints", str(tmp_path)])
