"""The network before and after learning, its loss by hand, its training, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.config import PriorConfig, PriorTrainConfig
from gpoa.errors import ConfigError, ModelError
from gpoa.matching.prior import maps, model
from gpoa.matching.prior.maps import COARSE_MAPS, FINE_MAPS, MIDDLE_MAPS, PriorMaps
from gpoa.matching.prior.model import PriorCard, load_prior, save_prior, to_batch
from gpoa.matching.prior.network import PriorBatch, PriorNetwork
from gpoa.matching.prior.training import PriorTrainer, augment, one_cycle, prior_loss
from gpoa.runtime.checkpointing import save_checkpoint

SMALL = PriorConfig(width=8, middle_width=4, half_width=4, fine_width=4, dilations=(1, 2))


def _maps(seed: int = 0) -> PriorMaps:
    rng = np.random.default_rng(seed)
    levels = [rng.normal(size=(len(names), side, side)).astype(np.float32) for names, side in
              ((COARSE_MAPS, 32), (MIDDLE_MAPS, 64), (FINE_MAPS, 256))]
    return PriorMaps(*levels, rng.integers(0, 256, (3, 256, 256), dtype=np.uint8))


class _Squares:
    """Pairs whose object is where the ridge map is high."""

    def draw(self, count: int, absent: float, rng: np.random.Generator) -> tuple[PriorBatch, torch.Tensor]:
        batch = to_batch([_maps(int(rng.integers(1000))) for _ in range(count)])
        truth = torch.zeros(count, 256, 256)
        for index in range(count):
            top, left = (int(place) * 8 for place in rng.integers(0, 16, 2))
            truth[index, top : top + 128, left : left + 128] = 1
        small = torch.nn.functional.avg_pool2d(truth[:, None], 8)[:, 0]
        batch.coarse[:, COARSE_MAPS.index("ridge_30")] = 4 * small - 2
        return batch, truth


def test_starts_as_the_mixture() -> None:
    network, batch = PriorNetwork(SMALL).eval(), to_batch([_maps()])
    logits, rough = network(batch)
    assert logits.shape == (1, 256, 256) and rough.shape == (1, 32, 32)
    assert torch.allclose(logits, 1.5 * network.mix(batch), atol=1e-5)


def test_unknown_maps_of_the_segmenter_do_not_count() -> None:
    one = _maps()
    one.middle[:] = 0
    network = PriorNetwork(SMALL)
    ridge = torch.nn.functional.interpolate(
        torch.from_numpy(one.coarse[1])[None, None], (256, 256), mode="bilinear", align_corners=False
    )[0, 0]
    expected = (ridge + 0.3 * torch.from_numpy(one.fine).sum(dim=0)) / 1.6
    assert torch.allclose(network.mix(to_batch([one]))[0], expected, atol=1e-5)


def test_loss_by_hand() -> None:
    """Two of four pixels are found with certainty: entropy about 0, Dice and IoU of the half that is right."""
    logits, truth = torch.tensor([[[50.0, 50.0], [-50.0, -50.0]]]), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert float(prior_loss(logits, truth)) == pytest.approx(0, abs=1e-4)
    wrong = float(prior_loss(torch.zeros(1, 2, 2), truth))
    smooth = 1e-3 * 4
    dice, iou = 1 - (2 * 1 + smooth) / (4 + smooth), 1 - (1 + smooth) / (3 + smooth)
    assert wrong == pytest.approx(np.log(2) + (dice + iou) / 2, abs=1e-5)
    assert float(prior_loss(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))) == pytest.approx(np.log(2), abs=1e-5)


def test_augmentation_moves_maps_and_mask_together() -> None:
    """The ridge map is the mask: it stays so however both are turned and cropped."""
    rng, config = np.random.default_rng(0), PriorTrainConfig(drop_group=0, drop_level=0)
    batch, truth = _Squares().draw(6, 0, rng)
    before = batch.coarse.clone()
    turned, moved = augment(batch, truth, config, rng)
    small = torch.nn.functional.avg_pool2d(moved[:, None], 8)[:, 0]
    ridge = turned.coarse[:, COARSE_MAPS.index("ridge_30")]
    assert all(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1] > 0.9 for a, b in zip(small, ridge, strict=True))
    assert torch.equal(batch.coarse, before)


def test_learns_squares_in_a_few_updates() -> None:
    trainer = PriorTrainer(_Squares(), PriorTrainConfig(updates=12, batch=3, learning_rate=0.01), SMALL)
    losses = [trainer.update().total for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_resume_equals_unbroken(tmp_path: Path) -> None:
    config = PriorTrainConfig(updates=4, batch=2)
    whole = PriorTrainer(_Squares(), config, SMALL)
    for _ in range(4):
        whole.update()
    first = PriorTrainer(_Squares(), config, SMALL)
    for _ in range(2):
        first.update()
    first.save(tmp_path / "last.pt")
    second = PriorTrainer(_Squares(), config, SMALL)
    second.resume(tmp_path / "last.pt")
    for _ in range(2):
        second.update()
    pairs = zip(whole.mean.state_dict().values(), second.mean.state_dict().values(), strict=True)
    assert second.step == 4 and all(torch.equal(a, b) for a, b in pairs)


def test_a_mirrored_image_gives_the_mirrored_map() -> None:
    network = PriorNetwork(SMALL)
    torch.manual_seed(0)
    for head in network.heads:
        torch.nn.init.normal_(head.weight)
    prior, one = model.Prior(network, PriorCard(temperature=2.0)), _maps()
    mirrored = PriorMaps(
        *(np.ascontiguousarray(level[..., ::-1]) for level in (one.coarse, one.middle, one.fine, one.rgb))
    )
    assert np.allclose(prior.logits(one)[:, ::-1], prior.logits(mirrored), atol=1e-4)


def test_schedule() -> None:
    assert (
        one_cycle(0) == pytest.approx(0.04)
        and one_cycle(0.2) == pytest.approx(1)
        and one_cycle(1) == pytest.approx(0.01)
    )


def test_file_round_trip(tmp_path: Path) -> None:
    network = PriorNetwork(SMALL)
    save_prior(tmp_path / "prior.pt", network, PriorCard(1.5, {"updates": 3}))
    prior = load_prior(tmp_path / "prior.pt")
    assert prior.card == PriorCard(1.5, {"updates": 3}) and prior.network.config == SMALL
    assert np.allclose(prior.logits(_maps()), model.Prior(network, prior.card).logits(_maps()), atol=0.05)


def test_a_prior_of_other_maps_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_prior(tmp_path / "prior.pt", PriorNetwork(SMALL), PriorCard())
    monkeypatch.setattr(maps, "LIMIT", 7.0)
    with pytest.raises(ModelError, match=r"prior.pt: was trained on other maps \(limits differ\); train one with"):
        load_prior(tmp_path / "prior.pt")


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", {"kind": "gpoa-policy"})
    with pytest.raises(ModelError, match="is not a prior"):
        load_prior(tmp_path / "x.pt")
    with pytest.raises(ModelError, match="no such checkpoint"):
        load_prior(tmp_path / "y.pt")


def test_config_refuses() -> None:
    with pytest.raises(ConfigError, match="--train.ema 1"):
        PriorTrainConfig(ema=1.0)
    with pytest.raises(ConfigError, match="widths are at least 1"):
        PriorConfig(width=0)
