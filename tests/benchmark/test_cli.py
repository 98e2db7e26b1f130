"""`gpoa benchmark` from flags and from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpoa.cli.common import expand_config
from gpoa.cli.main import main
from gpoa.errors import ConfigError

METHODS = ("--methods", "gpoa-start", "otsu")


def _flags(data: Path, output: Path) -> list[str]:
    return ["benchmark", "--data", str(data), "--output", str(output), "--workers", "1", "--cache.off"]


def test_tables_summary_and_report(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    output = tmp_path / "out"
    assert main([*_flags(data, output), *METHODS, "--references", "1", "--cases", "1"]) == 0
    text = capsys.readouterr().out
    assert "### all 2 classes, 6 images" in text and "| set/blue |" in text
    summary = json.loads((output / "summary.json").read_text())["all 2 classes"]
    assert set(summary["methods"]) == {"gpoa-start", "otsu"}
    assert {(one["method"], one["other"]) for one in summary["duels"]} >= {("gpoa-start", "otsu")}
    assert "<html" in (output / "report.html").read_text() and (output / "table.md").read_text().startswith("### all")


def test_classes_of_a_split_are_shown_apart(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"held_out": ["red", "set/blue"], "thin": ["red"]}))
    flags = [*_flags(data, tmp_path / "out"), *METHODS, "--fast", "--split", str(split), "--cases", "0"]
    assert main(flags) == 0
    text = capsys.readouterr().out
    assert "### 1 classes that are not thin" in text and "### 1 thin classes" in text


def test_report_only_needs_rows(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main([*_flags(data, tmp_path / "out"), *METHODS, "--report-only"]) == 2
    assert "run `gpoa benchmark` first" in capsys.readouterr().err


def test_unknown_names_are_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main([*_flags(data, tmp_path / "out"), "--methods", "magic"]) == 2
    assert "--methods magic: unknown; known are gpoa," in capsys.readouterr().err
    assert main([*_flags(data, tmp_path / "out"), *METHODS, "--classes", "green"]) == 2
    assert "green: 0 labelled images found" in capsys.readouterr().err


def test_a_broken_image_is_counted_and_the_exit_status_says_so(data: Path, tmp_path: Path):
    (data / "red" / "images" / "3.png").write_bytes(b"")
    assert main([*_flags(data, tmp_path / "out"), *METHODS, "--references", "1", "--cases", "0"]) == 1
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["all 2 classes"]
    assert summary["methods"]["otsu"]["failed"] == 1


def test_config_file_stands_for_flags(tmp_path: Path):
    path = tmp_path / "flags.json"
    table = {"data": "x", "methods": ["a", "b"], "train": {"learning_rate": 0.1}, "fast": True, "trace": {"on": False}}
    path.write_text(json.dumps({**table, "split": None}))
    expected = ["--data", "x", "--methods", "a", "b", "--train.learning-rate", "0.1", "--fast", "--trace.no-on"]
    assert expand_config(["--config", str(path), "--data", "y"]) == [*expected, "--data", "y"]
    assert expand_config(["--data", "y"]) == ["--data", "y"]


@pytest.mark.parametrize("content", ["[1]", "{"])
def test_config_file_that_is_no_table(tmp_path: Path, content: str):
    path = tmp_path / "flags.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="flags.json"):
        expand_config(["--config", str(path)])


def test_config_file_that_is_not_there():
    with pytest.raises(ConfigError, match="nothing.json: cannot be read"):
        expand_config(["--config", "nothing.json"])
    with pytest.raises(ConfigError, match="a JSON or TOML file is expected"):
        expand_config(["--config"])


def test_flags_on_the_command_line_win(data: Path, tmp_path: Path):
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({"data": str(data), "output": str(tmp_path / "no"), "methods": ["otsu"], "workers": 1}))
    assert main(["benchmark", "--config", str(path), "--output", str(tmp_path / "yes"), "--cases", "0"]) == 0
    assert (tmp_path / "yes" / "rows.csv").is_file() and not (tmp_path / "no").exists()
