"""Agents of Stable-Baselines3 on the toy: what a run leaves behind, and who can open it."""

from __future__ import annotations

import base64
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from gpoa.config import GpoaConfig, MatchingConfig, Sb3Config
from gpoa.envs.bubble_observation import observe_bubble
from gpoa.envs.bubble_toy import toy_episode
from gpoa.errors import DataError, ModelError
from gpoa.pipeline.bubble import bubble_contract
from gpoa.policies.sb3_policy import load_sb3_policy, read_card
from gpoa.policies.scaled_observations import ScaledObservations, fit_scaling
from gpoa.rl.sb3_callbacks import remember
from gpoa.rl.sb3_evaluate import BubbleScore, means, play, score
from gpoa.rl.sb3_training import Sb3Run, newest_checkpoint
from gpoa.search.bubble_agent import visit_bubble
from gpoa.tracking.metric_logger import read_metrics
from tests.rl.toy_episodes import ToyEpisodes

CONTRACT = bubble_contract(GpoaConfig())
SMALL = Sb3Config(
    steps=128,
    horizon=8,
    rollout=64,
    eval_every=64,
    checkpoint_every=64,
    scaling_steps=40,
    masks_every=2,
    net_arch=(16,),
)


def _run(folder: Path, algorithm: str = "maskable-ppo", settings: Sb3Config = SMALL) -> Sb3Run:
    episodes = (ToyEpisodes(1, 3), ToyEpisodes(2, 3))
    models = {"features": "toy"}
    return Sb3Run(folder, algorithm, settings, GpoaConfig(), episodes, models)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of MaskablePPO."""
    folder = tmp_path_factory.mktemp("maskable")
    _run(folder).start()
    return folder


def test_a_run_leaves_everything_behind(folder: Path) -> None:
    found = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    assert found == {
        *("policy.zip", "best", "evaluations", "checkpoints", "train_masks", "metrics.jsonl", "events", "config.json")
    }
    assert (folder / "best" / "best_model.zip").is_file()
    assert newest_checkpoint(folder).name == "policy_128_steps.zip"
    names = {name for line in read_metrics(folder / "metrics.jsonl") for name in line}
    assert {"rollout/final", "rollout/start", "eval/mean_reward", "train/loss"} <= names
    assert any(path.suffix == ".png" for path in (folder / "train_masks").iterdir())


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "maskable-ppo"])
def test_the_library_and_we_open_the_same_policy(algorithm: str, tmp_path: Path) -> None:
    run = _run(tmp_path, algorithm, replace(SMALL, steps=64))
    path = run.start()
    theirs, ours = run.kind.load(path, device="cpu"), load_sb3_policy(path, CONTRACT)
    assert theirs.gpoa_card["algorithm"] == ours.card.algorithm == algorithm
    episode = toy_episode(np.random.default_rng(5))
    observation = observe_bubble(episode, episode.start())
    everything = np.ones(17, dtype=bool)
    assert int(theirs.predict(observation, deterministic=True)[0]) == ours.choose(observation, everything)
    for name, value in theirs.policy.state_dict().items():
        torch.testing.assert_close(value, ours.network.state_dict()[name])


def test_illegal_actions_are_never_chosen(folder: Path) -> None:
    policy = load_sb3_policy(folder / "policy.zip", CONTRACT)
    episode = toy_episode(np.random.default_rng(5))
    observation = observe_bubble(episode, episode.start())
    for action in range(17):
        assert policy.choose(observation, np.arange(17) == action) == action


def test_the_scaling_is_fitted_and_saved_with_the_weights(folder: Path) -> None:
    layers = [
        module
        for module in load_sb3_policy(folder / "policy.zip", CONTRACT).network.modules()
        if isinstance(module, ScaledObservations)
    ]
    assert layers and all((layer.mean != 0).sum() > 20 for layer in layers)
    assert all((layer.spread >= 0.02 - 1e-6).all() and layer.spread.max() < 1 for layer in layers)


def test_scaling_by_hand() -> None:
    layer = ScaledObservations(np.zeros(2))
    fit_scaling(torch.nn.Sequential(layer), np.array([[0, 1], [2, 1]], dtype=np.float32))
    torch.testing.assert_close(layer(torch.tensor([[2.0, 1.0], [0.0, 100.0]])), torch.tensor([[1.0, 0], [-1, 5]]))
    with pytest.raises(ValueError, match="no ScaledObservations"):
        fit_scaling(torch.nn.Linear(1, 1), np.zeros((1, 1), dtype=np.float32))


def test_it_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    run = _run(tmp_path, settings=replace(SMALL, steps=64))
    run.start()
    _run(tmp_path).start(resume=True)
    assert newest_checkpoint(tmp_path).name == "policy_128_steps.zip"
    steps = [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert steps == sorted(steps) and steps[-1] == 128
    with np.load(tmp_path / "evaluations" / "evaluations.npz") as known:
        assert known["timesteps"].tolist() == [64, 128] and known["results"].shape == (2, 3)
    with pytest.raises(DataError, match="holds another run; add --resume"):
        _run(tmp_path).start()
    with pytest.raises(ModelError, match=r"other settings \(horizon differ\)"):
        _run(tmp_path, settings=replace(SMALL, horizon=5)).start(resume=True)
    with pytest.raises(ModelError, match="run without --resume"):
        _run(tmp_path / "nothing").start(resume=True)


def test_the_best_policy_is_not_replaced_by_a_worse_one_after_a_pause(tmp_path: Path) -> None:
    class Callback:
        best_mean_reward = -np.inf

    path, callback = tmp_path / "evaluations.npz", Callback()
    remember(callback, path)
    assert callback.best_mean_reward == -np.inf
    np.savez(path, timesteps=[64, 128], results=[[0.1, 0.5], [0.2, 0.2]], ep_lengths=[[3, 3], [2, 2]])
    remember(callback, path)
    assert callback.best_mean_reward == pytest.approx(0.3)


def test_a_wrong_file_gets_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file; train one with `gpoa train sb3`"):
        load_sb3_policy(tmp_path / "gone.zip", CONTRACT)
    text = tmp_path / "text.zip"
    text.write_text("not a zip")
    with pytest.raises(ModelError, match="no policy of Stable-Baselines3"):
        load_sb3_policy(text, CONTRACT)
    other = bubble_contract(GpoaConfig(matching=MatchingConfig(method="ridge")))
    with pytest.raises(ModelError, match=r"other settings \(matching differ\)"):
        load_sb3_policy(folder / "policy.zip", other)
    foreign = tmp_path / "foreign.zip"
    with zipfile.ZipFile(folder / "policy.zip") as source, zipfile.ZipFile(foreign, "w") as target:
        data = json.loads(source.read("data"))
        del data["gpoa_card"]
        target.writestr("data", json.dumps(data))
        target.writestr("policy.pth", source.read("policy.pth"))
    with pytest.raises(ModelError, match="not one for gpoa's environments"):
        load_sb3_policy(foreign, CONTRACT)


def test_no_code_of_a_file_is_executed(folder: Path, tmp_path: Path) -> None:
    """`data` may hold pickles, which the library's own `load` runs; ours leaves them alone."""
    marker, trap = tmp_path / "executed", tmp_path / "trap.zip"
    with zipfile.ZipFile(folder / "policy.zip") as source, zipfile.ZipFile(trap, "w") as target:
        data = json.loads(source.read("data"))
        code = f"cbuiltins\nopen\n(V{marker}\nVw\ntR."
        data["trap"] = {":type:": "x", ":serialized:": base64.b64encode(code.encode()).decode()}
        target.writestr("data", json.dumps(data))
        target.writestr("policy.pth", source.read("policy.pth"))
    assert load_sb3_policy(trap, CONTRACT).card == read_card(folder / "policy.zip")
    assert not marker.exists()


def test_the_budget_bounds_the_decoder_calls(folder: Path) -> None:
    policy = load_sb3_policy(folder / "policy.zip", CONTRACT)
    for budget in (1, 3):
        episode = toy_episode(np.random.default_rng(5))
        visited = visit_bubble(policy, episode, budget)
        assert 1 <= len(visited) <= budget and episode.decoder_calls <= budget


def test_means_over_images_then_classes() -> None:
    rows = [
        BubbleScore("a", 0.2, 0.4, 0.4, 0.4, 2),
        BubbleScore("a", 0.4, 0.4, 0.3, 0.4, 1),
        BubbleScore("b", 0.9, 0.5, 0.5, 0.9, 3),
    ]
    found = means(rows)
    assert found["start"] == pytest.approx(0.6) and found["final"] == pytest.approx(0.45)
    assert found["worse"] == pytest.approx(0.5) and found["calls"] == pytest.approx(2.25)


def test_the_toy_is_learned(tmp_path: Path) -> None:
    """Twenty seconds of one core; random actions end at .32, the start is .2."""
    settings = Sb3Config(steps=2048, horizon=8, eval_every=1024, checkpoint_every=4096, learning_rate=2e-3)
    path = _run(tmp_path, settings=settings).start()
    policy = load_sb3_policy(path, CONTRACT)
    found = means(score(play(policy, ToyEpisodes(3, 30).by_class, 9), policy.card.margin))
    assert found["start"] < 0.3 and found["final"] > 0.48 and found["last"] > 0.48
