"""`gpoa train sb3` on folders and `gpoa run --strategy sb3`, around stand-ins for the two models."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import gpoa.pipeline.image
from gpoa.cli.main import main
from gpoa.config import GpoaConfig, OptimizeConfig, Sb3Config
from gpoa.datasets.classes import LabelledClass
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import ConfigError
from gpoa.pipeline.image import ImagePipeline
from gpoa.rl.bubble_episodes import draw_pairs, validation_pairs
from gpoa.types import Sample
from tests.coloured_squares import write_squares
from tests.fake_backbones import FakeBackbones

SMALL = ("steps", 8), ("pairs", 1), ("eval-pairs", 2), ("images", 3), ("eval-every", 8), ("scaling-steps", 4)


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two sets of one class each: a coloured square somewhere on a grey ground."""
    return write_squares(tmp_path / "data", "red", "blue")


def _train(data: Path, output: Path, *more: str) -> int:
    flags = [part for name, value in SMALL for part in (f"--sb3.{name}", str(value))]
    return main(["train", "sb3", "--algo", "dqn", "--data", str(data), "--output", str(output), *flags, *more])


def test_from_folders_to_masks(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert _train(data, run) == 0
    assert f"policy: {run / 'policy.zip'}" in capsys.readouterr().out
    image, mask = (data / "red" / part / "0.png" for part in ("images", "masks"))
    command = ["run", "--reference", str(image), "--mask", str(mask), "--targets", str(data / "red" / "images")]
    command += ["--output", str(tmp_path / "out"), "--strategy", "sb3", "--budget", "3"]
    assert main(command) == 2
    assert "--strategy sb3 needs --optimize.policy FILE.zip" in capsys.readouterr().err
    assert main([*command, "--optimize.policy", str(data / "red" / "images" / "0.png")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*command, "--optimize.policy", str(run)]) == 0
    truth = load_mask(data / "red" / "masks" / "1.png")
    found = load_mask(tmp_path / "out" / "masks" / "1.png")
    assert (truth & found).sum() / (truth | found).sum() > 0.8


def test_the_policy_is_in_the_runs_name(data: Path, tmp_path: Path) -> None:
    """Another file makes other masks: a run with it does not take finished ones over."""
    _train(data, tmp_path / "run")
    other = shutil.copy(tmp_path / "run" / "policy.zip", tmp_path / "other.zip")
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("note", "another file")
    names = set()
    for policy in (tmp_path / "run" / "policy.zip", other):
        config = GpoaConfig(optimize=OptimizeConfig(strategy="sb3", policy=str(policy)))
        pipeline = ImagePipeline(config)
        pipeline.fit([data / "red" / "images" / "0.png"], [data / "red" / "masks" / "0.png"])
        names.add(pipeline.run_digest())
    assert len(names) == 2


def test_the_environment_opens_a_folder(data: Path) -> None:
    env = gymnasium.make("gpoa/BubblePrompts-v0", data=data, training=Sb3Config(pairs=1, images=2))
    observation, info = env.reset(seed=0)
    assert observation.shape == (72,) and 0 <= info["iou"] <= 1 and info["action_mask"].shape == (17,)


def test_pairs() -> None:
    classes = [LabelledClass("a", tuple(Sample(str(index), Path(f"{index}.png")) for index in range(3)))]
    pairs = draw_pairs(classes, 4, 0)
    assert len(pairs) == 4 and all(pair.reference is not pair.target for pair in pairs)
    assert len({(pair.reference.stem, pair.target.stem) for pair in pairs}) == 4
    held = validation_pairs(classes, 2)
    assert {pair.reference.stem for pair in held} == {"0"} and [pair.target.stem for pair in held] == ["1", "2"]


def test_an_unknown_set_is_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train(data, tmp_path / "run", "--validation-sets", "green") == 2
    assert "--validation-sets green: no such set" in capsys.readouterr().err


def test_without_the_packages_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from gpoa.policies.sb3_policy import algorithm_class

    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ConfigError, match=r"pip install gpoa\[sb3\]"):
        algorithm_class("maskable-ppo")


def test_ground_truth_is_not_at_hand_in_a_run(data: Path, tmp_path: Path) -> None:
    """An episode of `gpoa run` has nothing to compare with."""
    from gpoa.pipeline.bubble import open_bubble

    pipeline = ImagePipeline(GpoaConfig())
    pipeline.fit([data / "red" / "images" / "0.png"], [data / "red" / "masks" / "0.png"])
    image = load_image(data / "red" / "images" / "1.png")
    record = pipeline.initial_prompts(image, "1")
    assert record.score_map is not None
    episode = open_bubble(pipeline.backbones, image, record, record.score_map, 4)
    look = episode.start().look
    assert look.truth is None and look.full is not None
    np.testing.assert_array_equal(look.full > 0, look.mask)
