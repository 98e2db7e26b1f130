"""Training from folders, and the agent in the pipeline, around stand-ins for the two models."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpoa.pipeline.image
from gpoa.cli.main import main
from gpoa.config import (
    CandidatesConfig,
    GpoaConfig,
    MatchingConfig,
    OptimizeConfig,
    PolicyConfig,
    SegmentConfig,
    TrainConfig,
)
from gpoa.datasets.classes import load_classes, split_classes
from gpoa.datasets.image_io import load_image
from gpoa.errors import ModelError
from gpoa.pipeline.folder import run_folder
from gpoa.pipeline.image import ImagePipeline
from gpoa.policies.graph_policy import load_policy, save_policy
from gpoa.rl.training import FolderEpisodes, Pair, TrainingRun, spread_pairs, turned
from gpoa.tracking.metric_logger import read_metrics
from tests.coloured_squares import write_squares
from tests.fake_backbones import FakeBackbones

RIDGE = GpoaConfig(matching=MatchingConfig(method="ridge"))
"""The matcher that the agent goes with."""
SMALL = PolicyConfig(width=8, layers=1, map_width=4, quality_width=8, members=1)
TRAIN = TrainConfig(
    updates=2, episodes=2, rollouts=2, explore=2, quality_masks=4, eval_every=1, eval_budget=3, workers=1
)


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of four images: a coloured square somewhere on a grey ground."""
    return write_squares(tmp_path / "data", "red", "blue")


def _run(data: Path, folder: Path, config: GpoaConfig | None = None) -> TrainingRun:
    classes = split_classes(load_classes(data), None)
    return TrainingRun(folder, config or RIDGE, SMALL, TRAIN, classes)


@pytest.fixture
def policy(data: Path, tmp_path: Path) -> Path:
    """A policy of two updates."""
    list(_run(data, tmp_path / "run").start())
    return tmp_path / "run" / "policy.pt"


def test_a_run_leaves_everything_behind(data: Path, policy: Path):
    folder = policy.parent
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "events",
        "last.pt",
        "policy.pt",
    }
    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert {"eval/start", "eval/final", "eval/fixed_final"} <= set(lines[-1]) and "train/policy_loss" in lines[-1]
    assert json.loads((folder / "config.json").read_text())["train"]["updates"] == 2


def test_command_line_trains_and_resumes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    flags = "--train.episodes 2 --train.rollouts 2 --train.eval-every 1 --train.workers 1 --train.explore 2"
    flags += " --policy.members 1"
    folder = tmp_path / "cli"
    command = ["train", "--data", str(data), "--output", str(folder), "--matching.method", "ridge", *flags.split()]
    assert main([*command, "--train.updates", "1"]) == 0
    assert f"policy: {folder / 'policy.pt'}" in capsys.readouterr().out
    assert main([*command, "--train.updates", "1", "--resume", str(folder)]) == 0
    assert main([*command, "--train.updates", "1", "--train.gamma", "0.5", "--resume", str(folder)]) == 2
    assert "gamma was 1.0, now 0.5" in capsys.readouterr().err


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["train", "--data", str(tmp_path / "none"), "--output", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("strategy", ["agent", "agent-search", "quality"])
def test_stages_give_the_mask_of_the_run(data: Path, policy: Path, tmp_path: Path, strategy: str):
    """prompts, optimize and segment one by one, with files between them, give the same mask as run."""
    images, ridge = data / "red" / "images", ["--matching.method", "ridge"]
    learned = [*ridge, "--strategy", strategy, "--optimize.policy", str(policy), "--budget", "4"]
    reference = ["--reference", str(images / "0.png"), "--mask", str(data / "red" / "masks" / "0.png")]
    targets = ["--targets", str(images / "1.png"), str(images / "2.png")]
    assert main(["run", *reference, *targets, "--output", str(tmp_path / "run"), *learned, "--trace"]) == 0
    assert (tmp_path / "run" / "traces" / "1.gif").is_file() and (tmp_path / "run" / "traces" / "2.jpg").is_file()
    first, second = tmp_path / "initial", tmp_path / "optimized"
    assert main(["prompts", *reference, *targets, *ridge, "--output", str(first)]) == 0
    assert main(["optimize", "--prompts", str(first), *targets, "--output", str(second), *learned]) == 0
    assert main(["segment", "--prompts", str(second), *targets, "--output", str(tmp_path / "stages")]) == 0
    for name in ("1.png", "2.png"):
        one, two = (np.asarray(Image.open(tmp_path / place / "masks" / name)) for place in ("run", "stages"))
        np.testing.assert_array_equal(one, two)
        assert one.any()


def test_inference_needs_no_ground_truth(data: Path, policy: Path, tmp_path: Path):
    """With every target's mask file deleted the agent does the same."""
    config = RIDGE
    config = gpoa.pipeline.image.replace(
        config, optimize=gpoa.pipeline.image.replace(config.optimize, strategy="agent-search", policy=str(policy))
    )
    before = (
        ImagePipeline(config)
        .fit(data / "red/images/0.png", data / "red/masks/0.png")
        .predict(data / "red/images/1.png")
    )
    reference = tmp_path / "0.png"
    shutil.copy(data / "red/masks/0.png", reference)
    shutil.rmtree(data / "red" / "masks")
    after = ImagePipeline(config).fit(data / "red/images/0.png", reference).predict(data / "red/images/1.png")
    np.testing.assert_array_equal(before.mask, after.mask)
    assert before.confidence == after.confidence


def test_policy_of_another_config_is_refused_before_any_image(data: Path, policy: Path, tmp_path: Path, capsys):
    images = data / "red" / "images"
    command = [
        "run",
        "--reference",
        str(images / "0.png"),
        "--mask",
        str(data / "red/masks/0.png"),
        "--targets",
        str(images),
    ]
    options = ["--strategy", "agent", "--optimize.policy", str(policy), "--candidates.positives", "5"]
    assert main([*command, "--output", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert "candidates.positives was 16, now 5" in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "masks").exists()
    reference = ["--reference", str(images / "0.png"), "--mask", str(data / "red/masks/0.png")]
    assert main(["prompts", *reference, "--targets", str(images), "--output", str(tmp_path / "p")]) == 0
    capsys.readouterr()
    stage = [
        "optimize",
        "--prompts",
        str(tmp_path / "p"),
        "--targets",
        str(images),
        "--output",
        str(tmp_path / "o"),
        *options,
    ]
    assert main(stage) == 2
    assert capsys.readouterr().err.count("\n") == 1


def _auto(policy: Path | None, **parts: object) -> ImagePipeline:
    chosen = OptimizeConfig(policy=None if policy is None else str(policy), budget=3)
    config = replace(RIDGE, optimize=chosen, **parts)
    return ImagePipeline(config)


def test_auto_takes_a_policy_that_fits(data: Path, policy: Path):
    segmenter = _auto(policy)
    assert segmenter.strategy == "none"  # no reference yet
    segmenter.fit(data / "red/images/0.png", data / "red/masks/0.png")
    assert segmenter.strategy == "agent-search"
    made = segmenter.predict(data / "red/images/1.png").optimized.provenance
    assert made["strategy"] == "agent-search" and made["policy"] == segmenter.agent.digest
    other = _auto(policy, segment=SegmentConfig(mode="components")).fit(
        data / "red/images/0.png", data / "red/masks/0.png"
    )
    assert other.strategy == "none"


def test_auto_goes_on_without_the_shipped_policy(data: Path, caplog: pytest.LogCaptureFixture):
    """It was trained with the real models; with others, or other settings, nothing is promised of it."""
    for parts, reason in (
        ({}, "fake-segmenter"),
        ({"candidates": CandidatesConfig(positives=5)}, "positives was 16, now 5"),
    ):
        caplog.clear()
        segmenter = _auto(None, **parts).fit(data / "red/images/0.png", data / "red/masks/0.png")
        made = segmenter.predict(data / "red/images/1.png").optimized.provenance
        assert made["strategy"] == "none" and made["decoder_calls"] == 1
        assert "prompts are not optimised" in caplog.text and reason in caplog.text
        assert len(caplog.records) == 1


def test_auto_refuses_a_named_policy_that_does_not_fit(data: Path, policy: Path):
    segmenter = _auto(policy, candidates=CandidatesConfig(positives=5))
    segmenter.fit(data / "red/images/0.png", data / "red/masks/0.png")
    with pytest.raises(ModelError, match="positives was 16, now 5"):
        segmenter.predict(data / "red/images/1.png")


def test_the_folder_teaches_and_a_damaged_image_does_not(data: Path, policy: Path, tmp_path: Path):
    images = data / "red" / "images"
    (images / "2.png").write_bytes(b"no image")
    segmenter = _auto(policy).fit(images / "0.png", data / "red/masks/0.png")
    report = run_folder(segmenter, images, tmp_path / "out")
    assert report.count("failed") == 1 and report.count("ok") == 3
    made = json.loads((tmp_path / "out" / "optimized_prompts" / "1.json").read_text())["provenance"]
    assert made["folder_images"] == 3
    again = run_folder(_auto(policy).fit(images / "0.png", data / "red/masks/0.png"), images, tmp_path / "out")
    assert again.count("kept") == 3


@pytest.mark.parametrize("level, doubted", [(0.0, 0), (1.0, 2)])
def test_doubtful_masks_are_kept_and_told(data: Path, policy: Path, tmp_path: Path, level: float, doubted: int):
    networks, card = load_policy(policy, RIDGE)
    save_policy(policy, networks, RIDGE, replace(card, calibration={**card.calibration, "absent": level}))
    images = data / "red" / "images"
    segmenter = _auto(policy).fit(images / "0.png", data / "red/masks/0.png")
    report = run_folder(segmenter, [images / "1.png", images / "2.png"], tmp_path / "out")
    assert [item.doubtful for item in report.items] == [level > 0] * 2
    assert ("doubtful" in report.summary()) == (doubted > 0) and (f"{doubted} doubtful" in report.summary()) == (
        doubted > 0
    )
    assert np.asarray(Image.open(tmp_path / "out" / "masks" / "1.png")).any()
    again = _auto(policy).fit(images / "0.png", data / "red/masks/0.png")
    assert sum(item.doubtful for item in run_folder(again, [images / "1.png"], tmp_path / "out").items) == (doubted > 0)


def test_a_folder_is_forgotten_with_its_reference(data: Path, policy: Path):
    images = data / "red" / "images"
    segmenter = _auto(policy).fit(images / "0.png", data / "red/masks/0.png")
    image = load_image(images / "1.png")
    segmenter.learn_folder([(image, segmenter.first_mask(image, segmenter.initial_prompts(image, "")))])
    target = load_image(images / "3.png")
    nodes = segmenter.open_episode(target, segmenter.initial_prompts(target, "")).nodes
    assert nodes.from_folder.any()
    segmenter.fit(images / "0.png", data / "red/masks/0.png")
    assert not segmenter.open_episode(target, segmenter.initial_prompts(target, "")).nodes.from_folder.any()


def test_episodes_are_the_same_in_training_and_at_inference(data: Path):
    """Observation parity through the whole pipeline: bit-equal tensors."""
    from gpoa.envs.observation import observe

    segmenter = ImagePipeline(RIDGE)
    classes = load_classes(data)
    source = FolderEpisodes(segmenter, classes, classes, TRAIN)
    pair = source.pairs[0][0]
    trained = source._make(pair)
    served_by = ImagePipeline(RIDGE).fit(pair.references[0].image_path, pair.references[0].mask_path)
    others = [load_image(one.image_path) for one in classes[0].samples if one not in pair.references]
    served_by.learn_folder([(one, served_by.first_mask(one, served_by.initial_prompts(one, ""))) for one in others])
    image = load_image(pair.target.image_path)
    served = served_by.open_episode(image, served_by.initial_prompts(image, "x"))
    one, two = observe(trained, trained.start()), observe(served, served.start())
    for name in ("features", "support", "image_maps", "maps", "reference_maps", "scalars", "differences", "legal"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_a_damaged_image_is_left_out(data: Path, caplog: pytest.LogCaptureFixture):
    (data / "red" / "images" / "1.png").write_bytes(b"no image")
    classes = load_classes(data)
    source = FolderEpisodes(ImagePipeline(RIDGE), classes, classes, TRAIN)
    rng = np.random.default_rng(0)
    for _ in range(30):
        source.sample(rng)
    assert "is left out" in caplog.text


def test_pairs_are_distinct_and_never_a_target_of_itself(data: Path):
    classes = load_classes(data)
    source = FolderEpisodes(ImagePipeline(RIDGE), classes, classes, TrainConfig(pairs=9, shots=2))
    for own in source.pairs:
        assert len({(pair.references, pair.target) for pair in own}) == len(own) == 9
        assert all(pair.target not in pair.references and len(pair.references) == 2 for pair in own)


def test_held_out_pairs_are_spread(data: Path):
    pairs = spread_pairs(load_classes(data), shots=1, count=4)
    assert [(pair.name, pair.target.stem) for pair in pairs] == [
        ("blue", "1"),
        ("blue", "3"),
        ("red", "1"),
        ("red", "3"),
    ]
    assert isinstance(pairs[0], Pair)


@pytest.mark.parametrize("turn", range(8))
def test_turns_keep_image_and_mask_together(turn: int):
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    mask = image[..., 0] > 9
    turned_image, turned_mask = turned(image, mask, turn)
    np.testing.assert_array_equal(turned_image[..., 0] > 9, turned_mask)
    assert (turn == 0) == (turned_image.shape == image.shape and np.array_equal(turned_image, image))
