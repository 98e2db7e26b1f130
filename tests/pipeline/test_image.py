"""The whole job on the shipped samples with the real models; and the Python interface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpoa.config import CandidatesConfig, GpoaConfig, MatchingConfig, ModelsConfig, OptimizeConfig, SegmentConfig
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.datasets.prompt_file import read_prompts, write_prompts
from gpoa.errors import ConfigError, DataError, ImageError, MaskError, ModelError
from gpoa.evaluation.metrics import iou
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.agent import _same_models
from gpoa.pipeline.image import ImagePipeline

DATA = Path(__file__).resolve().parents[2] / "data"
RIDGE = MatchingConfig(method="ridge")
pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    """One embedding cache for all tests: every image is encoded once."""
    return EmbeddingCache(tmp_path_factory.mktemp("cache"))


def _fitted(name: str, cache: EmbeddingCache, root: Path, **parts: object) -> ImagePipeline:
    """A segmenter that has seen the reference of a sample set."""
    config = replace(GpoaConfig(), models=ModelsConfig(checkpoints=str(root)), **parts)
    folder = DATA / name
    reference, mask = (next((folder / kind).iterdir()) for kind in ("reference_image", "reference_mask"))
    return ImagePipeline(config, cache).fit(reference, mask)


def _mean_iou(segmenter: ImagePipeline, name: str, count: int = 3) -> float:
    """Mean IoU over the first targets of a sample set."""
    images = sorted((DATA / name / "target_image").iterdir())[:count]
    truths = [load_mask(DATA / name / "target_mask" / image.name) for image in images]
    pairs = zip(images, truths, strict=True)
    return float(np.mean([iou(segmenter.predict(image).mask, truth) for image, truth in pairs]))


@pytest.mark.parametrize("name, least", [("bubbles", 0.85), ("coins", 0.93)])
def test_quality_floor(name: str, least: float, cache: EmbeddingCache, weights_root: Path):
    """Measured .92 and .97 over all targets; a broken pipeline does not come near."""
    assert _mean_iou(_fitted(name, cache, weights_root), name) > least


def test_beats_the_original_prompts(cache: EmbeddingCache, weights_root: Path):
    original = _fitted(
        "bubbles",
        cache,
        weights_root,
        matching=MatchingConfig(method="nearest", debias_components=0),
        candidates=CandidatesConfig(sampler="all", dense_prompt=False),
    )
    assert _mean_iou(_fitted("bubbles", cache, weights_root), "bubbles") > _mean_iou(original, "bubbles") + 0.05


@pytest.mark.parametrize("strategy", ["none", "random", "best-of-n", "greedy"])
def test_no_strategy_ends_below_its_start(strategy: str, cache: EmbeddingCache, weights_root: Path):
    segmenter = _fitted("bubbles", cache, weights_root, optimize=OptimizeConfig(strategy=strategy, budget=4))
    image = load_image(DATA / "bubbles" / "target_image" / "bubbles_01.png")
    first, again = segmenter.predict(image), segmenter.predict(image)
    assert first.search.best.score >= first.search.trials[0].score
    assert len(first.search.trials) == (1 if strategy == "none" else 4)
    assert np.array_equal(first.mask, again.mask)


@pytest.mark.parametrize("strategy", ["agent", "agent-search", "quality"])
def test_learned_strategies_with_the_shipped_policy(strategy: str, cache: EmbeddingCache, weights_root: Path):
    settings = {"matching": RIDGE, "optimize": OptimizeConfig(strategy=strategy, budget=4)}
    segmenter = _fitted("coins", cache, weights_root, **settings)
    image = load_image(DATA / "coins" / "target_image" / "coins_2.png")
    first, again = segmenter.predict(image), segmenter.predict(image)
    assert np.array_equal(first.mask, again.mask) and 0 < first.confidence < 1
    assert first.optimized.provenance["decoder_calls"] <= 4
    truth = load_mask(DATA / "coins" / "target_mask" / "coins_2.png")
    assert iou(first.mask, truth) > 0.9


@pytest.mark.parametrize(("matcher", "strategy"), [("ridge", "quality"), ("prior", "posterior"), ("prior", "prior")])
def test_masks_from_files_equal_masks_in_memory(
    matcher: str, strategy: str, cache: EmbeddingCache, weights_root: Path, tmp_path: Path
):
    """The chosen prompts, written and read again, give the mask bit for bit, whichever output was taken."""
    settings = {"matching": MatchingConfig(method=matcher), "optimize": OptimizeConfig(strategy=strategy)}
    segmenter = _fitted("bubbles", cache, weights_root, **settings)
    for number in (1, 7):
        image = load_image(DATA / "bubbles" / "target_image" / f"bubbles_0{number}.png")
        made = segmenter.predict(image)
        write_prompts(tmp_path / "p.json", made.optimized)
        assert np.array_equal(segmenter.segment(image, read_prompts(tmp_path / "p.json")), made.mask)


def test_arrays_paths_and_cached_embeddings_agree(cache: EmbeddingCache, weights_root: Path):
    path = DATA / "coins" / "target_image" / "coins_1.png"
    warm = _fitted("coins", cache, weights_root)
    cold = _fitted("coins", EmbeddingCache(None), weights_root)
    masks = [warm.predict(path).mask, warm.predict(load_image(path)).mask, cold.predict(path).mask]
    assert np.array_equal(masks[0], masks[1]) and np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize("multimask", ["best", "largest"])
def test_components_and_multimask(multimask: str, cache: EmbeddingCache, weights_root: Path):
    settings = SegmentConfig(mode="components", multimask=multimask)
    assert _mean_iou(_fitted("coins", cache, weights_root, segment=settings), "coins", 1) > 0.8


def test_several_references(cache: EmbeddingCache, weights_root: Path):
    config = replace(GpoaConfig(), models=ModelsConfig(checkpoints=str(weights_root)))
    images = [DATA / "bubbles" / "target_image" / f"bubbles_0{number}.png" for number in (1, 2)]
    masks = [DATA / "bubbles" / "target_mask" / image.name for image in images]
    segmenter = ImagePipeline(config, cache).fit(images, masks)
    assert segmenter.fitted.reference.tokens.shape[0] == 2 * 32 * 32
    assert segmenter.predict(DATA / "bubbles" / "target_image" / "bubbles_03.png").mask.any()
    with pytest.raises(DataError, match="2 reference images but 1 masks"):
        segmenter.fit(images, masks[:1])


def test_mistakes_in_arrays_and_order(weights_root: Path, cache: EmbeddingCache):
    config = replace(GpoaConfig(), models=ModelsConfig(checkpoints=str(weights_root)))
    segmenter = ImagePipeline(config, cache)
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="call fit"):
        segmenter.predict(image)
    for mask in (np.zeros((40, 60)), np.ones((40, 60)), np.ones((40, 61))):
        with pytest.raises(MaskError, match="mask array"):
            segmenter.fit(image, mask)
    for wrong in (image[..., 0], image.astype(np.float32), image[:0]):
        with pytest.raises(ImageError, match="uint8 RGB"):
            segmenter.predict(wrong)


def test_unknown_models_and_devices(weights_root: Path):
    root = str(weights_root)
    with pytest.raises(ModelError, match="mobile_san.*mobile_sam"):
        ImagePipeline(GpoaConfig(models=ModelsConfig(segmenter="mobile_san", checkpoints=root)))
    with pytest.raises(ModelError, match="dinov2-smal"):
        ImagePipeline(GpoaConfig(models=ModelsConfig(features="dinov2-smal", checkpoints=root)))
    with pytest.raises(ConfigError, match="--models.device toaster"):
        ImagePipeline(GpoaConfig(models=ModelsConfig(device="toaster", checkpoints=root)))
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="finds no CUDA device"):
            ImagePipeline(GpoaConfig(models=ModelsConfig(device="cuda", checkpoints=root)))


def test_a_policy_fits_the_same_models_in_a_reduced_type() -> None:
    trained = {"features": "dinov2-small-0f@448/9+12-32", "segmenter": "mobile_sam-1e"}
    reduced = {"features": "dinov2-small-0f@448/9+12-bf16-32", "segmenter": "mobile_sam-1e-bf16"}
    other = {**trained, "segmenter": "sam_vit_b-2d-bf16"}
    assert [_same_models(trained, used) for used in (trained, reduced, other)] == [True, True, False]
    assert _same_models(reduced, reduced)  # trained in a reduced type


def test_a_grey_copy_of_a_target_is_segmented(cache: EmbeddingCache, weights_root: Path):
    """After a coloured reference a grey copy is less similar to it, and is the object all the same."""
    segmenter = _fitted("bubbles", cache, weights_root)
    for path in sorted((DATA / "bubbles" / "target_image").iterdir())[:2]:
        grey = np.repeat(load_image(path).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
        truth = load_mask(DATA / "bubbles" / "target_mask" / path.name)
        prediction = segmenter.predict(grey)
        assert prediction.optimized.status == "ok" and iou(prediction.mask, truth) > 0.8
