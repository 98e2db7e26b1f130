"""Prompts of another image or of other models are refused."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.datasets.prompt_file import PromptRecord
from gpoa.errors import PromptError
from gpoa.pipeline.prior_choice import take_prior
from gpoa.pipeline.record_checks import check_models, check_size
from gpoa.types import PointPrompts, ScoreMap

IMAGE = np.zeros((4, 6, 3), np.uint8)


def _record(x: float = 1.0, size: tuple[int, int] = (4, 6)) -> PromptRecord:
    prompts = PointPrompts(np.array([[x, 1.0]], np.float32), np.array([1]))
    return PromptRecord(image="a.png", original_size=size, prompts=prompts)


def test_another_size_or_a_point_outside_is_refused() -> None:
    check_size(IMAGE, _record())
    with pytest.raises(PromptError, match=r"a.png: prompts are for an image of \(6, 4\)"):
        check_size(IMAGE, _record(size=(6, 4)))
    with pytest.raises(PromptError, match="outside"):
        check_size(IMAGE, _record(x=9.0))


def test_other_models_are_refused_and_unnamed_ones_pass() -> None:
    check_models("a.png", None, {"features": "x-1"})
    check_models("a.png", {"features": "x-1"}, {"features": "x-1"})
    with pytest.raises(PromptError, match="a.png: prompts were made with .*x-2.*, in use are .*x-1"):
        check_models("a.png", {"features": "x-2"}, {"features": "x-1"})


def test_the_prior_needs_its_own_score_map() -> None:
    flat = ScoreMap(values=np.zeros((2, 2), np.float32), threshold=0.0, scale=1.0)
    with pytest.raises(PromptError, match="not made with the prior"):
        take_prior(None, None, IMAGE, _record(), flat)
