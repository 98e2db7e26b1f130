"""The network of the learned click agents: for every cell what a positive and a negative click there would gain, and
how likely the cell is the object now that SAM has answered.

Three kinds of input, one trunk:

    relational   `gpoa.envs.click_maps`: relations only
    implicit     AlignSAM's first agent: SAM's embedding, modulated by the mask's probability
    explicit     its second: the same with a semantic map, here the prior's

Convolutions and one attention over space, each sample by itself; group norm, no batch norm, so that what becomes of a
sample never depends on the others. Legend: `B` samples, `W` width.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

AgentKind = Literal["relational", "implicit", "explicit"]
SIDE = 64
POOL = 4
"""Cells a side that the attention takes together."""
MASK_LIMIT = 10.0
"""Logits of the mask are clipped here before they are mixed in."""


class ClickInputs(NamedTuple):
    """What the network reads.

    Args:
        maps: [B, 22, 64, 64] float32, `click_maps`.
        prior: [B, 256, 256] log odds, 0 where nothing is known.
        mask: [B, 256, 256] logits of the mask.
        embedding: [B, 256, 64, 64] SAM's; None for the relational kind.
    """

    maps: Tensor
    prior: Tensor
    mask: Tensor
    embedding: Tensor | None = None


class ClickOutputs(NamedTuple):
    """What the network says.

    Args:
        gains: [B, 2, 64, 64], the change of Dice that a negative (0) or positive (1) click in a cell would make.
        belief: [B, 256, 256] log odds that a cell is the object.
    """

    gains: Tensor
    belief: Tensor


class ClickNetwork(nn.Module):
    """See the module.

    Args:
        kind: what it reads.
        channels: maps a sample.
        prior_maps: which of them speak of the prior; the implicit kind does not see them.
        width: W.
    """

    def __init__(self, kind: AgentKind, channels: int, prior_maps: tuple[int, ...], width: int = 32) -> None:
        super().__init__()
        self.kind, self.prior_maps, self.channels, self.width = kind, prior_maps, channels, width
        own = channels
        if kind != "relational":
            self.embed = nn.Conv2d(256, width, 1)
            own = channels + 2 * width
        self.stem = nn.Conv2d(own, width, 3, padding=1)
        self.blocks = nn.ModuleList([Block(width, dilation) for dilation in (1, 2, 4, 8)])
        self.attention = SpatialAttention(width)
        self.gains = nn.Conv2d(width, 2, 1)
        self.residual = nn.Conv2d(width, 1, 1)
        self.mix = nn.Parameter(torch.tensor([0.7, 0.3]))
        for head in (self.gains, self.residual):
            nn.init.zeros_(head.weight)
            assert head.bias is not None
            nn.init.zeros_(head.bias)

    def forward(self, inputs: ClickInputs) -> ClickOutputs:
        """See the class of what it returns."""
        maps, prior = inputs.maps, inputs.prior
        if self.kind == "implicit":
            hidden = torch.ones(self.channels, device=maps.device)
            hidden[list(self.prior_maps)] = 0
            maps, prior = maps * hidden[:, None, None], torch.zeros_like(prior)
        if self.kind != "relational":
            assert inputs.embedding is not None  # this kind reads it
            share = torch.sigmoid(avg_pool2d(inputs.mask[:, None], 4))
            tokens = self.embed(inputs.embedding)
            maps = torch.cat([maps, tokens * share, tokens * (1 - share)], dim=1)
        hidden = self.stem(maps)
        for number, block in enumerate(self.blocks):
            hidden = block(hidden)
            if number == 1:
                hidden = self.attention(hidden)
        residual = interpolate(self.residual(hidden), (256, 256), mode="bilinear", align_corners=False)[:, 0]
        mask = inputs.mask.clamp(-MASK_LIMIT, MASK_LIMIT)
        return ClickOutputs(self.gains(hidden), self.mix[0] * prior + self.mix[1] * mask + residual)


class Block(nn.Module):
    """A residual block: two 3 x 3 convolutions with group norm.

    Args:
        width: channels.
        dilation: of the first.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(4, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
            nn.GroupNorm(4, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, 64, 64] -> the same shape."""
        return x + self.body(x)


class SpatialAttention(nn.Module):
    """Self-attention between the places of one sample, on a grid of 16 x 16 (AlignSAM's public form attends over the
    batch instead, so that the images of a batch change each other's actions).

    Args:
        width: channels.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.place = nn.Parameter(torch.zeros(1, (SIDE // POOL) ** 2, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, 64, 64] -> the same shape."""
        small = avg_pool2d(x, POOL)
        tokens = self.norm(small.flatten(2).transpose(1, 2)) + self.place  # [B, 256, W]
        heard = self.attend(tokens, tokens, tokens, need_weights=False)[0]
        return x + interpolate(heard.transpose(1, 2).reshape(small.shape), scale_factor=POOL, mode="nearest")
