"""The command as a process: who reads its output, and without a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpoa.cli.main import main


@pytest.mark.parametrize(
    "argv", [["run", "-h"], ["run", "--help-all"], ["doctor"], ["models", "list"], ["-h"], ["models", "-h"]]
)
def test_a_reader_that_leaves_ends_the_command_quietly(argv: list[str]):
    """As `| head -1` does; here the reader has gone before the first line."""
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.Popen([sys.executable, "-m", "gpoa", *argv], stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    said = done.communicate(timeout=240)[1]
    assert said == "" and done.returncode in (0, 141)


def test_no_home(tmp_path: Path):
    """A user whom the system does not know, without HOME: the models' folder and the cache are still named."""
    code = "import sys, pwd, os\ndef unknown(uid): raise KeyError(uid)\npwd.getpwuid = unknown\n"
    code += "from gpoa.cli.main import main\n"
    code += "sys.exit(main(['models', 'path']))"
    dropped = ("HOME", "XDG_CACHE_HOME", "GPOA_CACHE", "GPOA_CHECKPOINTS")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=240)
    assert done.returncode == 0 and done.stdout.startswith(str(tmp_path)), done.stderr


def test_a_mistyped_verb_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]):
    assert main(["segmnt"]) == 2
    assert capsys.readouterr().err == "gpoa: unknown verb 'segmnt'; did you mean segment?\n"
    assert main(["xyz"]) == 2
    assert "known are run, prompts," in capsys.readouterr().err
