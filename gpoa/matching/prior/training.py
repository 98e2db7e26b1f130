"""Supervised training of the prior's network on pairs of a labelled reference and a labelled target.

Legend: `B` pairs of a batch; maps as in `network.PriorBatch`; masks [B, 256, 256] float32 in [0, 1].
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gpoa.config import PriorConfig, PriorTrainConfig
from gpoa.matching.prior.maps import COARSE, COARSE_MAPS, FINE
from gpoa.matching.prior.network import PriorBatch, PriorNetwork
from gpoa.runtime.checkpointing import load_checkpoint, restore_rng, rng_state, save_checkpoint

COARSE_SHARE = 0.4
"""Weight of the loss of the coarse level alone."""
GROUPS = (
    tuple(name for name in COARSE_MAPS if name.startswith("ridge_") and "averaged" not in name and "raw" not in name),
    ("margin_1", "margin_5"),
    ("soft_knn_05", "soft_knn_10"),
    ("foreground_mean", "background_mean", "best_foreground", "best_background", "ridge_30_raw"),
    ("ridge_averaged", "ridge_averaged_twice", "ridge_averaged_near"),
    ("typical", "repeated"),
    ("segmenter_ridge",),
    ("reference_area", "threshold_gap", "spread", "best_match"),
)
"""Coarse maps that are dropped together; the ridge map itself stays, for the answer is built on it."""


class Pairs(Protocol):
    """Where training pairs come from."""

    def draw(self, count: int, absent: float, rng: np.random.Generator) -> tuple[PriorBatch, Tensor]:
        """Draws pairs: maps (rgb uint8 or float) and masks."""
        ...


class Losses(NamedTuple):
    """Mean losses of an update."""

    total: float
    fine: float
    coarse: float


def prior_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy plus half of the soft Dice loss plus half of the soft IoU loss, mean over the batch.

    Args:
        logits: [B, h, w].
        truth: [B, h, w] in [0, 1]; a map without foreground counts in the cross entropy only.

    Returns:
        A scalar.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    probability = torch.sigmoid(logits)
    shared, both = (probability * truth).sum(dim=(1, 2)), (probability + truth).sum(dim=(1, 2))
    smooth = 1e-3 * truth[0].numel()
    dice = 1 - (2 * shared + smooth) / (both + smooth)
    iou = 1 - (shared + smooth) / (both - shared + smooth)
    there = (truth.amax(dim=(1, 2)) > 0).to(logits.dtype)
    return entropy + 0.5 * ((dice + iou) * there).sum() / there.sum().clamp_min(1)


def augment(
    batch: PriorBatch, truth: Tensor, config: PriorTrainConfig, rng: np.random.Generator
) -> tuple[PriorBatch, Tensor]:
    """Crops, mirrors, turns, jitters and drops maps, the same geometry for all maps of a pair.

    Args:
        batch: maps of whole images.
        truth: [B, 256, 256].
        config: how often.
        rng: draws everything.

    Returns:
        New maps and masks; the inputs stay as they are.
    """
    if rng.random() < config.crop:
        batch, truth = _cropped(batch, truth, rng)
    turns = [(int(rng.integers(4)), bool(rng.integers(2))) for _ in truth]
    batch = PriorBatch(*(_turned(maps, turns) for maps in batch))
    truth = _turned(truth[:, None], turns)[:, 0]
    for index in range(len(truth)):
        _drop(batch, index, config, rng)
    batch = PriorBatch(
        _jittered(batch.coarse, rng), _jittered(batch.middle, rng), _jittered(batch.fine, rng), batch.rgb
    )
    return batch._replace(rgb=_recoloured(batch.rgb, rng)), truth


def _cropped(batch: PriorBatch, truth: Tensor, rng: np.random.Generator) -> tuple[PriorBatch, Tensor]:
    """A square part of three quarters of the side, on the coarse grid."""
    side = COARSE * 3 // 4
    top, left = (int(rng.integers(COARSE - side + 1)) for _ in range(2))

    def part(maps: Tensor) -> Tensor:
        step = maps.shape[-1] // COARSE
        rows, columns = slice(top * step, (top + side) * step), slice(left * step, (left + side) * step)
        return maps[..., rows, columns]

    return PriorBatch(*map(part, batch)), part(truth)


def _turned(maps: Tensor, turns: Sequence[tuple[int, bool]]) -> Tensor:
    """Each of B maps [B, C, h, h] turned by quarters and perhaps mirrored."""
    each = [torch.rot90(one, quarter, (1, 2)) for one, (quarter, _) in zip(maps, turns, strict=True)]
    return torch.stack([one.flip(2) if mirror else one for one, (_, mirror) in zip(each, turns, strict=True)])


def _drop(batch: PriorBatch, index: int, config: PriorTrainConfig, rng: np.random.Generator) -> None:
    """Leaves out groups of coarse maps and whole levels of one pair, in place."""
    for group in GROUPS:
        if rng.random() < config.drop_group:
            places = [COARSE_MAPS.index(name) for name in group if name != "ridge_30"]
            batch.coarse[index, places] = 0
    if rng.random() < config.drop_level:
        batch.middle[index] = 0
        batch.coarse[index, COARSE_MAPS.index("segmenter_ridge")] = 0
    if rng.random() < config.drop_level:
        batch.fine[index] = 0


def _jittered(maps: Tensor, rng: np.random.Generator) -> Tensor:
    """Gain, offset and noise of each map; maps that are left out stay so."""
    shape = (*maps.shape[:2], 1, 1)
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.15, shape)).astype(np.float32))
    offset = torch.from_numpy(rng.normal(0, 0.1, shape).astype(np.float32))
    rough = torch.from_numpy(rng.normal(0, 0.15, (*maps.shape[:2], 8, 8)).astype(np.float32))
    noise = functional.interpolate(rough, maps.shape[-2:], mode="bilinear", align_corners=False)
    known = (maps.abs().amax(dim=(2, 3), keepdim=True) > 0).to(maps.dtype)
    return (maps * gain + offset + noise) * known


def _recoloured(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """Channels in another order, another gain and gamma, now and then inverted or grey."""
    out = []
    for one in rgb:
        one = one[torch.from_numpy(rng.permutation(3))]
        if rng.random() < 0.2:
            one = one.mean(dim=0, keepdim=True).expand(3, -1, -1)
        if rng.random() < 0.2:
            one = 1 - one
        gamma, gain = float(np.exp(rng.normal(0, 0.25))), float(np.exp(rng.normal(0, 0.2)))
        out.append((one.clamp(1e-3, 1) ** gamma * gain).clamp(0, 1.5))
    return torch.stack(out)


class PriorTrainer:
    """Trains a network; every update can be gone on from, bit for bit.

    Args:
        pairs: training pairs.
        config: how to train.
        sizes: of the network.
    """

    def __init__(self, pairs: Pairs, config: PriorTrainConfig, sizes: PriorConfig | None = None) -> None:
        torch.manual_seed(config.seed)
        self.pairs, self.config = pairs, config
        self.network = PriorNetwork(sizes)
        self.mean = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.rng = np.random.default_rng(config.seed)
        self.step = 0

    def start_from(self, network: PriorNetwork) -> None:
        """Begins with the weights of a network of the same sizes."""
        for one in (self.network, self.mean):
            one.load_state_dict(network.state_dict())

    def update(self) -> Losses:
        """One step of the optimiser on one batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * one_cycle(self.step / self.config.updates)
        batch, truth = augment(*self.pairs.draw(self.config.batch, self.config.absent, self.rng), self.config, self.rng)
        logits, rough = self.network(batch)
        fine = prior_loss(logits, truth)
        coarse = prior_loss(rough, functional.avg_pool2d(truth[:, None], FINE // COARSE)[:, 0])
        total = fine + COARSE_SHARE * coarse
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(self.config.ema, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
        return Losses(*(float(one.detach()) for one in (total, fine, coarse)))

    def save(self, path: Path) -> None:
        """Writes everything to go on from."""
        state = {
            "kind": "prior-training",
            "step": self.step,
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": rng_state(self.rng),
        }
        save_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Goes on from what `save` wrote.

        Raises:
            ModelError: the file cannot be used.
        """
        state = load_checkpoint(path)
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        restore_rng(self.rng, state["rng"])


def one_cycle(progress: float) -> float:
    """The share of the peak learning rate: up to it in the first fifth, then down to a hundredth along a cosine.

    Args:
        progress: from 0 to 1.
    """
    if progress < 0.2:
        return 0.04 + 0.96 * progress / 0.2
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (progress - 0.2) / 0.8)) / 2
