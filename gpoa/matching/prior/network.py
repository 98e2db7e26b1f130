"""The prior's network: it starts as a fixed mixture of three maps and learns corrections, coarse to fine.

Residual convolutions read the maps at 32 x 32 with one global vector, then smaller ones at 64, 128 and 256 cells; each
level adds to the logit, and the layer that does so begins at zero. So before training the answer is the mixture of the
ridge map, the segmenter's ridge and the two pixel classifiers (the best that was found without learning, see DESIGN
3b).

Legend: `B` images, `C` channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpoa.config import PriorConfig
from gpoa.matching.prior.maps import COARSE, COARSE_MAPS, FINE, FINE_MAPS, MIDDLE, MIDDLE_MAPS

HALF = 128


class PriorBatch(NamedTuple):
    """Maps of B images.

    Args:
        coarse: [B, len(COARSE_MAPS), 32, 32] float32.
        middle: [B, len(MIDDLE_MAPS), 64, 64] float32.
        fine: [B, len(FINE_MAPS), 256, 256] float32.
        rgb: [B, 3, 256, 256] float32 in [0, 1].
    """

    coarse: Tensor
    middle: Tensor
    fine: Tensor
    rgb: Tensor


class PriorNetwork(nn.Module):
    """Maps to foreground logits.

    Args:
        config: sizes.
    """

    def __init__(self, config: PriorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PriorConfig()
        pooled = 2 * (len(MIDDLE_MAPS) + len(FINE_MAPS) + 3)
        self.mixture = nn.Parameter(torch.tensor([1.0, 0.4, 0.3, 0.3]))
        self.scale, self.shift = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.tensor(0.0))
        self.enter = nn.Conv2d(len(COARSE_MAPS) + pooled, config.width, 1)
        self.blocks = nn.ModuleList(_Block(config.width, dilation) for dilation in config.dilations)
        self.globals = nn.Sequential(
            nn.Linear(2 * config.width, 2 * config.width), nn.SiLU(), nn.Linear(2 * config.width, config.width)
        )
        self.at_64 = _Level(config.width, len(MIDDLE_MAPS), config.middle_width, 2)
        self.at_128 = _Level(config.middle_width, len(FINE_MAPS) + 3, config.half_width, 2)
        self.at_256 = _Level(config.half_width, len(FINE_MAPS) + 3, config.fine_width, 1)
        self.heads = nn.ModuleList(
            _zero(nn.Conv2d(width, 1, 1))
            for width in (config.width, config.middle_width, config.half_width, config.fine_width)
        )

    def forward(self, batch: PriorBatch) -> tuple[Tensor, Tensor]:
        """Reads the maps, of whole images or of the same part of each map.

        Returns:
            (logits [B, 256, 256], logits of the coarse level alone [B, 32, 32]), or smaller ones of a part.
        """
        coarse, middle, fine, rgb = batch
        detail = torch.cat([fine, rgb - rgb.mean(dim=(2, 3), keepdim=True)], dim=1)
        pooled = [_pooled(middle, MIDDLE // COARSE), _pooled(detail, FINE // COARSE)]
        state = self.enter(torch.cat([coarse, *pooled], dim=1))
        place = len(self.blocks) // 2
        for number, block in enumerate(self.blocks):
            if number == place:
                summary = torch.cat([state.mean(dim=(2, 3)), state.amax(dim=(2, 3))], dim=1)
                state = state + self.globals(summary)[..., None, None]
            state = block(state)
        half = functional.avg_pool2d(detail, FINE // HALF)
        states = [state]
        for level, maps in ((self.at_64, middle), (self.at_128, half), (self.at_256, detail)):
            states.append(level(states[-1], maps))
        deltas = [head(one) for head, one in zip(self.heads, states, strict=True)]
        logits = self._mixture(coarse, middle, fine)
        rough = self.scale * functional.avg_pool2d(logits, FINE // COARSE) + self.shift + deltas[0]
        whole = self.scale * logits + self.shift + sum(_to(delta, fine.shape[-1]) for delta in deltas)
        return whole[:, 0], rough[:, 0]

    def mix(self, batch: PriorBatch) -> Tensor:
        """The mixture of maps on which the answer is built: [B, 256, 256], positive where foreground."""
        return self._mixture(batch.coarse, batch.middle, batch.fine)[:, 0]

    def _mixture(self, coarse: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        """[B, 1, 256, 256] the mixture; maps that are not known do not count."""
        ridge = coarse[:, COARSE_MAPS.index("ridge_30")][:, None]
        segmenter = middle[:, MIDDLE_MAPS.index("segmenter_ridge")][:, None]
        known = (middle.abs().amax(dim=(1, 2, 3), keepdim=True) > 0).to(ridge.dtype)
        weights = self.mixture
        total = weights[0] + weights[1] * known + weights[2:].sum()
        parts = weights[0] * _to(ridge, fine.shape[-1]) + weights[1] * _to(segmenter, fine.shape[-1])
        return (parts + (weights[2:, None, None] * fine).sum(dim=1, keepdim=True)) / total


class _Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        return state + self.second(functional.silu(self.first(functional.silu(self.norm(state)))))


class _Level(nn.Module):
    """A finer level: the coarser state enlarged, the maps of this level, and a few blocks."""

    def __init__(self, below: int, maps: int, width: int, blocks: int) -> None:
        super().__init__()
        self.bring = nn.Conv2d(below, width, 1)
        self.read = nn.Conv2d(maps, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width, 1) for _ in range(blocks))

    def forward(self, below: Tensor, maps: Tensor) -> Tensor:
        state = _to(self.bring(below), maps.shape[-1]) + self.read(maps)
        for block in self.blocks:
            state = block(state)
        return state


def _pooled(maps: Tensor, factor: int) -> Tensor:
    """Mean and deviation of each cell of a coarser grid."""
    mean = functional.avg_pool2d(maps, factor)
    square = functional.avg_pool2d(maps * maps, factor)
    return torch.cat([mean, (square - mean * mean).clamp_min(0).add(1e-6).sqrt()], dim=1)


def _to(maps: Tensor, side: int) -> Tensor:
    """Linear interpolation to another side."""
    if maps.shape[-1] == side:
        return maps
    return functional.interpolate(maps, (side, side), mode="bilinear", align_corners=False)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
