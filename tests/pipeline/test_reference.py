"""The labelled patches in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpoa.config import MatchingConfig
from gpoa.errors import PromptError
from gpoa.matching.reference import Reference
from gpoa.pipeline.reference import fit_reference, read_reference, write_reference

TOKENS = np.eye(4, dtype=np.float32)
REFERENCE = Reference(tokens=TOKENS, foreground=np.array([1, 1, 0, 0], np.float32))


def test_what_is_written_is_learned_again(tmp_path: Path) -> None:
    fitted = fit_reference(MatchingConfig(), REFERENCE, np.ones((4, 256), np.float32), "abc")
    scores = fitted.matcher(TOKENS)
    assert scores[:2].min() > fitted.threshold > scores[2:].max()
    write_reference(tmp_path / "r.npz", fitted, {"features": "f"})
    again, models = read_reference(tmp_path / "r.npz", MatchingConfig())
    assert (again.digest, again.threshold, models) == ("abc", fitted.threshold, {"features": "f"})
    np.testing.assert_array_equal(again.matcher(TOKENS), scores)
    np.testing.assert_array_equal(again.segmenter_reference.tokens, np.ones((4, 256)))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PromptError, match="r.npz: damaged .*make it again with `gpoa prompts`"):
        read_reference(path, MatchingConfig())
