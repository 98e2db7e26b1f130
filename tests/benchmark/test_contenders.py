"""Costs are counted outside of the methods, and no method sees a target's ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpoa.benchmark.contenders import DEFAULT_METHODS, OURS, Meter, build_contender, check_methods, title_of
from gpoa.config import GpoaConfig
from gpoa.datasets.classes import load_classes
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import ConfigError
from gpoa.types import PointPrompts
from tests.fake_backbones import FakeBackbones

IMAGE = np.zeros((20, 30, 3), dtype=np.uint8)


def test_meter_counts_prompt_sets_and_starts_again():
    meter = Meter(FakeBackbones(GpoaConfig()))
    one = PointPrompts(np.array([[5.0, 5.0]], dtype=np.float32), np.array([1]))
    meter.segmenter.decode(meter.embedding(IMAGE), [one, one, one])
    costs = meter.read()
    assert costs.calls == 3 and costs.encode_seconds > 0 and costs.decode_seconds > 0
    assert meter.read().calls == 0


def test_meter_passes_everything_else_through():
    meter = Meter(FakeBackbones(GpoaConfig()))
    assert meter.ids["segmenter"] == "fake-segmenter"
    assert meter.segmenter.model_id == "fake-segmenter"


@pytest.mark.parametrize("name", DEFAULT_METHODS)
def test_every_method_segments_without_the_masks_of_the_targets(name: str, data: Path):
    one = load_classes(data, ["red"])[0]
    reference, *folder = one.samples
    image, mask = load_image(reference.image_path), load_mask(reference.mask_path)
    for sample in folder:
        sample.mask_path.unlink()
    contender = build_contender(name, GpoaConfig(), None, 0)
    contender.prepare(image, mask, folder)
    answer = contender.predict(load_image(folder[0].image_path))
    assert answer.mask.shape == (64, 96) and answer.mask.dtype == bool


def test_ours_keeps_the_mask_before_the_search(data: Path):
    one = load_classes(data, ["red"])[0]
    contender = build_contender("gpoa-greedy", GpoaConfig(), None, 0)
    contender.prepare(load_image(one.samples[0].image_path), load_mask(one.samples[0].mask_path), one.samples[1:])
    answer = contender.predict(load_image(one.samples[1].image_path))
    assert answer.start is not None and answer.start.shape == (64, 96)
    assert contender.meter.read().calls > 1


def test_names_are_checked():
    check_methods([*OURS, *DEFAULT_METHODS])
    with pytest.raises(ConfigError, match="nonsense: unknown; known are gpoa, "):
        check_methods(["gpoa", "nonsense"])
    assert title_of("gpoa-start") == "gpoa start" and title_of("gf-sam") == "GF-SAM"
