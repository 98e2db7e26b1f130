"""The library transformers beside a torchvision that does not load, as torch builds for the CPU meet PyPI's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
exec(sys.argv[2])
from gpoa.models.hf_loading import import_transformers
library = import_transformers()
assert library is import_transformers()
print(library.Dinov2Model.__name__, library.SamModel.__name__, library.utils.is_torchvision_available())
"""


@pytest.mark.parametrize("before", ["", "import torch_geometric"])  # which imports transformers itself
@pytest.mark.parametrize(
    "failure", ["RuntimeError('operator torchvision::nms does not exist')", "OSError('libcudart')"]
)
def test_a_torchvision_that_does_not_load_is_hidden(tmp_path: Path, failure: str, before: str) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(f"from torchvision import inner\nraise {failure}\n")
    (package / "inner.py").write_text("")
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path), before], capture_output=True, text=True)
    assert done.stdout.split() == ["Dinov2Model", "SamModel", "False"], done.stderr
