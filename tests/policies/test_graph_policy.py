"""A policy's file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gpoa.config import GpoaConfig, PolicyConfig
from gpoa.errors import ModelError
from gpoa.policies.graph_policy import GraphPolicy, PolicyCard, load_policy, save_policy
from gpoa.runtime.checkpointing import save_checkpoint

SMALL = PolicyConfig(width=8, layers=1, map_width=4, quality_width=8, members=1)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, GraphPolicy]:
    torch.manual_seed(0)
    policy, path = GraphPolicy(SMALL), tmp_path / "policy.pt"
    save_policy(
        path, policy, GpoaConfig(), PolicyCard({"features": "f", "segmenter": "s"}, {"margin": 0.02}, {"seed": 1})
    )
    return path, policy


def test_round_trip(saved: tuple[Path, GraphPolicy]):
    path, policy = saved
    loaded, card = load_policy(path, GpoaConfig())
    assert card.calibration == {"margin": 0.02} and card.training == {"seed": 1}
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("features", "image_size", 560),
        ("matching", "ridge_lambda", 10.0),
        ("threshold", "otsu_share", 0.5),
        ("candidates", "positives", 8),
        ("graph", "horizon", 9),
    ],
)
def test_another_config_is_refused(saved: tuple[Path, GraphPolicy], section: str, field: str, value: object):
    config = GpoaConfig()
    config = replace(config, **{section: replace(getattr(config, section), **{field: value})})
    with pytest.raises(ModelError, match=rf"another config: {section}\.{field} was .*, now {value}"):
        load_policy(saved[0], config)


def test_what_shapes_no_observation_may_differ(saved: tuple[Path, GraphPolicy]):
    config = GpoaConfig()
    config = replace(
        config, threshold=replace(config.threshold, presence=0.1), optimize=replace(config.optimize, budget=3)
    )
    load_policy(saved[0], config)


def test_bad_files(tmp_path: Path, saved: tuple[Path, GraphPolicy]):
    with pytest.raises(ModelError, match="no such checkpoint"):
        load_policy(tmp_path / "none.pt")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(saved[0].read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        load_policy(cut)
    other = tmp_path / "other.pt"
    save_checkpoint(other, {"kind": "gpoa-training"})
    with pytest.raises(ModelError, match="not a policy"):
        load_policy(other)


def test_code_in_a_file_is_never_run(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"format_version": 1, "kind": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="damaged, or not a checkpoint"):
        load_policy(tmp_path / "evil.pt")
    assert not (tmp_path / "touched").exists()
