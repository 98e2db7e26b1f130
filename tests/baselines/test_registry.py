from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gpoa.baselines.registry import BASELINES, Baseline, features_config
from gpoa.config import FeaturesConfig, GpoaConfig, MatchingConfig
from tests.fake_backbones import FakeBackbones

ORDER = [
    "otsu",
    "adaptive",
    "canny",
    "score-map",
    "random-walker",
    "gpoa-initial",
    "gpoa-release",
    "gbmseg",
    "persam",
    "matcher",
    "gf-sam",
    "insid3",
]


def test_table_order_and_names() -> None:
    assert list(BASELINES) == ORDER
    assert all(name == baseline.name for name, baseline in BASELINES.items())
    assert len({baseline.title for baseline in BASELINES.values()}) == len(ORDER)


@pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES)
def test_texts_are_lines(baseline: Baseline) -> None:
    for text in (baseline.title, baseline.source, baseline.description):
        assert text and "\n" not in text and "|" not in text  # they go into tables


def scene(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(size, dtype=bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 3 : 2 * size[1] // 3] = True
    colour = np.where(mask[..., None], [210, 60, 50], [50, 120, 190])
    return (colour + np.random.default_rng(0).integers(-20, 20, (*size, 3))).astype(np.uint8), mask


@pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES)
def test_every_method_answers_alike_for_a_seed_and_uses_sam_as_said(baseline: Baseline) -> None:
    answers, asked = [], []
    for _ in range(2):
        models = FakeBackbones(features_config(baseline.features, GpoaConfig()))
        decode = models.segmenter.decode
        models.segmenter.decode = lambda *a, decode=decode, **k: asked.append(1) or decode(*a, **k)
        method = baseline.build(models, 7)
        method.fit(*scene((60, 90)))
        answers.append(method.predict(scene((75, 50))[0]))
    first, second = answers
    assert first.mask.shape == (75, 50) and first.mask.dtype == bool
    assert first.confidence is None or 0 <= first.confidence <= 1
    np.testing.assert_array_equal(first.mask, second.mask)
    assert first.confidence == second.confidence
    assert bool(asked) == baseline.uses_sam


@pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES)
@pytest.mark.parametrize("case", ["constant", "grey", "tiny"])
def test_hard_images_run(baseline: Baseline, case: str) -> None:
    image, mask = scene((48, 80))
    target = image[:, ::-1].copy()
    if case == "constant":
        target = np.full((31, 47, 3), 128, dtype=np.uint8)
    elif case == "grey":
        image, target = (np.repeat(one[..., :1], 3, axis=-1) for one in (image, target))
    else:
        mask = np.zeros_like(mask)
        mask[20, 30] = True
    method = baseline.build(FakeBackbones(features_config(baseline.features, GpoaConfig())), 0)
    method.fit(image, mask)
    assert method.predict(target).mask.shape == target.shape[:2]


def test_plain_features_are_the_last_layer_without_debiasing() -> None:
    base = GpoaConfig(features=FeaturesConfig(image_size=560), matching=MatchingConfig(ridge_lambda=7.0))
    plain = features_config("plain", base)
    assert plain.features == FeaturesConfig(image_size=560, layers=(12,))
    assert plain.matching == MatchingConfig(ridge_lambda=7.0, debias_components=0)
    assert replace(plain, features=base.features, matching=base.matching) == base
    # A model of 24 layers: the last one that the config names.
    assert features_config("plain", replace(base, features=FeaturesConfig(layers=(18, 24)))).features.layers == (24,)


def test_our_features_are_the_config_itself() -> None:
    base = GpoaConfig()
    assert features_config("ours", base) is base


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="take plain or ours"):
        features_config("debiased", GpoaConfig())


def test_the_registry_loads_without_any_method() -> None:
    code = (
        "import sys, gpoa.baselines.registry; "
        "print(*sorted(n for n in sys.modules if n.startswith(('gpoa.baselines', 'skimage', 'torch'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["gpoa.baselines", "gpoa.baselines.base", "gpoa.baselines.registry"], done.stderr
