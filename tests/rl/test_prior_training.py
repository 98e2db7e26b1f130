"""Training the prior from folders of classes, with stand-ins for the models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gpoa.pipeline.backbones
import gpoa.pipeline.image
from gpoa.cli.main import main
from gpoa.config import GpoaConfig, MatchingConfig, PriorTrainConfig
from gpoa.datasets.classes import LabelledClass, load_many
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError, ModelError
from gpoa.matching.prior.model import load_prior
from gpoa.pipeline.image import ImagePipeline
from gpoa.rl.prior_pairs import PriorPairs, plan_pairs, set_of
from gpoa.rl.prior_training import PriorRun, fit_temperature, split_by_set
from tests.fake_backbones import FakeBackbones

CONFIG = PriorTrainConfig(updates=2, batch=2, save_every=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sets of one class each, three images of a square of the class's colour."""
    root, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name, colour in (("a/red", (210, 40, 40)), ("b/green", (40, 200, 40)), ("c/white", (240, 240, 240))):
        for number in range(3):
            image, mask = rng.integers(0, 60, (64, 80, 3), dtype=np.uint8), np.zeros((64, 80), dtype=np.uint8)
            image[10:40, 8 * number : 30 + 8 * number], mask[10:40, 8 * number : 30 + 8 * number] = colour, 255
            for kind, pixels in (("images", image), ("masks", mask)):
                (root / name / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / name / kind / f"{number}.png")
    return root


@pytest.fixture
def classes(data: Path) -> list[LabelledClass]:
    return load_many([data])


def test_plan(classes: list[LabelledClass]) -> None:
    """Six ordered pairs of three images a class, and one whose target comes from another set."""
    pairs = plan_pairs(classes, 3, seed=0)
    assert len(pairs) == 3 * (6 + 1)
    assert all(pair.reference != pair.target for pair in pairs)
    strangers = [pair for pair in pairs if pair.absent]
    folders = [pair.target.image_path.parent.parent.name for pair in strangers]
    assert len(strangers) == 3 and all(folder not in pair.name for folder, pair in zip(folders, strangers, strict=True))


def test_split_keeps_sets_whole() -> None:
    names = ["a/1", "a/2", "b/1", "c/1", "c/2"]
    training, validation = split_by_set(names, 0.34, seed=0)
    assert sorted(training + validation) == names and len({set_of(name) for name in validation}) == 1
    assert not {set_of(name) for name in training} & {set_of(name) for name in validation}
    assert split_by_set(["a/1"], 0.5, seed=0) == (["a/1"], [])


def test_pairs_are_computed_once_and_belong_together(classes: list[LabelledClass], tmp_path: Path) -> None:
    plan = plan_pairs(classes[:2], 2, seed=0)
    pairs = PriorPairs(tmp_path / "pairs", plan)
    assert len(list(pairs.fill(FakeBackbones(GpoaConfig())))) == len(plan)
    again = PriorPairs(tmp_path / "pairs", plan)
    assert list(again.fill(FakeBackbones(GpoaConfig()))) == []
    batch, truth = again.read([0])
    mask = load_mask(plan[0].target.mask_path)
    assert float(truth.mean()) == pytest.approx(mask.mean(), abs=0.01) and batch.rgb.max() <= 1
    absent = next(place for place, pair in enumerate(plan) if pair.absent)
    assert float(again.read([absent])[1].sum()) == 0
    with pytest.raises(DataError, match="holds the maps of other pairs"):
        PriorPairs(tmp_path / "pairs", plan[:3])


def test_classes_drawn_more_often(classes: list[LabelledClass], tmp_path: Path) -> None:
    pairs = PriorPairs(tmp_path / "pairs", plan_pairs(classes[:2], 2, seed=0))
    pairs.arrays["done"][:] = 1
    both = pairs.of(["a/red", "b/green"], {"b/green": 3.0})
    assert dict(zip(both.names, both.weights, strict=True)) == pytest.approx({"a/red": 0.25, "b/green": 0.75})


def test_an_unusable_image_is_passed_over(classes: list[LabelledClass], tmp_path: Path, caplog) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    plan = plan_pairs(classes[:1], 3, seed=0)
    plan[1] = type(plan[1])(plan[1].name, plan[1].reference, type(plan[1].target)("x", broken, broken))
    pairs = PriorPairs(tmp_path / "pairs", plan)
    list(pairs.fill(FakeBackbones(GpoaConfig())))
    assert "broken.png teaches nothing" in caplog.text and pairs.arrays["done"].tolist().count(2) == 1
    assert pairs.of(["a/red"]).draw(3, 0.0, np.random.default_rng(0))[1].shape == (3, 256, 256)


def test_temperature_of_doubled_logits() -> None:
    """Log odds that are twice too sure want to be halved; then the probabilities are right."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 40_000).astype(np.float32)
    truth = (rng.random(40_000) < 1 / (1 + np.exp(-honest))).astype(np.float32)
    temperature, error = fit_temperature(torch.from_numpy(2 * honest), torch.from_numpy(truth))
    assert temperature == pytest.approx(2, rel=0.11) and error < 0.02


def test_a_run_from_the_command_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Trains, resumes where nothing is left, and its file serves a pipeline that never sees a target's mask."""
    monkeypatch.setattr(gpoa.pipeline.backbones, "Backbones", FakeBackbones)
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    command = ["train", "prior", "--data", str(data), "--output", str(tmp_path / "run"), "--validation", "0.34"]
    command += ["--train.updates", "2", "--train.batch", "2", "--train.save-every", "1", "--images", "2"]
    assert main([*command, "--emphasis", "2", "1"]) == 2
    assert "--emphasis: 1 numbers above 0 are needed" in capsys.readouterr().err
    assert main([*command, "--emphasis", "2"]) == 0
    out = capsys.readouterr().out
    assert str(tmp_path / "run" / "prior.pt") in out
    card = load_prior(tmp_path / "run" / "prior.pt").card
    assert set(card.training["emphasis"].values()) == {2.0} and card.training["updates"] == 2
    assert len(card.training["train_classes"]) == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and "eval/iou" in lines[0]
    prior = str(tmp_path / "run" / "prior.pt")
    pipeline = ImagePipeline(GpoaConfig(matching=MatchingConfig(prior=prior)))
    red = data / "a" / "red"
    alone = load_image(red / "images" / "1.png")
    pipeline.fit(load_image(red / "images" / "0.png"), load_mask(red / "masks" / "0.png"))
    monkeypatch.setattr("gpoa.datasets.mask_io.load_mask", None)  # whoever reads a mask now fails
    mask = pipeline.predict(alone).mask
    assert mask.shape == (64, 80) and mask[15:35, 15:30].mean() > 0.9


def test_resume_wants_a_run(classes: list[LabelledClass], tmp_path: Path) -> None:
    run = PriorRun(tmp_path, FakeBackbones(GpoaConfig()), classes, CONFIG, images=2, validation=0.0)  # type: ignore[arg-type]
    list(run.prepare())
    with pytest.raises(ModelError, match="no such checkpoint"):
        list(run.train(resume=True))
