"""Files that other libraries leave behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from gpoa.runtime.temporary import temporary_files_removed


def test_what_is_left_inside_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_files_removed():
        handle, name = tempfile.mkstemp()
        os.close(handle)
        assert Path(name).is_file()
    assert list(tmp_path.iterdir()) == [] and tempfile.gettempdir() == str(tmp_path)


def test_a_policy_leaves_none_of_the_code_that_torch_geometric_generates(tmp_path: Path) -> None:
    """In a fresh interpreter, for the code is generated once a process; and the layers still answer."""
    import subprocess
    import sys

    code = (
        "import torch; from gpoa.policies.actor_critic import _messages, ActorCritic; ActorCritic(width=4)\n"
        "layer = _messages(4); edge = next(iter(layer.convs))\n"
        "ask = dict(edge_index=torch.tensor([[0], [1]]), "
        "edge_attr=torch.ones(1, next(iter(layer.convs.values())).edge_dim))\n"
        "print(next(iter(layer.convs.values()))((torch.ones(2, 4), torch.ones(2, 4)), **ask).shape)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.stdout.strip() == "torch.Size([2, 4])", done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
