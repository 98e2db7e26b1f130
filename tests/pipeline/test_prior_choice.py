"""Which mask is handed out when the prior judges: SAM's, or the prior's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gpoa.pipeline.image
from gpoa.config import GpoaConfig, OptimizeConfig, ThresholdConfig
from gpoa.datasets.prompt_file import read_prompts, write_prompts
from gpoa.pipeline.image import ImagePipeline
from gpoa.types import DENSE_OUTPUT
from tests.fake_backbones import FakeBackbones


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)


def _scene(left: int, colour: tuple[int, int, int] = (210, 40, 40)) -> tuple[np.ndarray, np.ndarray]:
    """A square on a dark ground, [60, 90, 3] uint8, and its mask."""
    image = np.random.default_rng(left).integers(0, 60, (60, 90, 3), dtype=np.uint8)
    mask = np.zeros((60, 90), dtype=bool)
    mask[15:45, left : left + 30] = True
    image[mask] = colour
    return image, mask


def _fitted(**optimize: object) -> ImagePipeline:
    config = GpoaConfig(optimize=OptimizeConfig(**optimize))  # type: ignore[arg-type]
    return ImagePipeline(config).fit(*_scene(10))


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def test_the_default_is_one_decoder_call() -> None:
    pipeline, (image, truth) = _fitted(), _scene(40)
    assert pipeline.strategy == "posterior"
    prediction = pipeline.predict(image)
    assert prediction.optimized.provenance["decoder_calls"] == 1 and _iou(prediction.mask, truth) > 0.85
    assert prediction.search is not None
    assert len(prediction.search.trials) == 4 + 2  # SAM's four, the prior's own and the fused
    assert 0 < prediction.confidence <= 1


def test_a_larger_budget_decodes_more_sets() -> None:
    prediction = _fitted(posterior_budget=3).predict(_scene(40)[0])
    assert prediction.optimized.provenance["decoder_calls"] == 3


def test_without_the_segmenter() -> None:
    """The prior's own mask needs no decoder call, and a prompt file hands it on."""
    pipeline, (image, truth) = _fitted(strategy="prior"), _scene(40)
    pipeline.backbones.segmenter.decode = None  # type: ignore[method-assign, assignment]
    prediction = pipeline.predict(image)
    assert prediction.optimized.prompts.mask_output == DENSE_OUTPUT and _iou(prediction.mask, truth) > 0.85


def test_a_prompt_file_gives_the_same_mask(tmp_path: Path) -> None:
    pipeline, (image, _) = _fitted(), _scene(40)
    record = pipeline.initial_prompts(image, "a.png")
    write_prompts(tmp_path / "a.json", record)
    again = read_prompts(tmp_path / "a.json")
    assert again.score_map is not None and record.score_map is not None
    assert np.array_equal(again.score_map.detail, record.score_map.detail)  # type: ignore[arg-type]
    first, second = (pipeline.optimize(image, one)[0] for one in (record, again))
    assert np.array_equal(pipeline.segment(image, first), pipeline.segment(image, second))


def test_a_dissimilar_object_of_which_the_prior_is_sure_is_present() -> None:
    """The similarity alone would call it absent: neither decides alone."""
    pipeline, (image, truth) = _fitted(), _scene(40)
    strict = ThresholdConfig(presence=1.0)
    pipeline.config = replace(pipeline.config, threshold=strict)
    assert _iou(pipeline.predict(image).mask, truth) > 0.85
    pipeline.config = replace(pipeline.config, threshold=replace(strict, sureness=2.0))
    assert pipeline.initial_prompts(image, "a.png").status == "absent"
