"""How good is a mask, and is it better than the first one of its image?

Two answers: an absolute one, the expected IoU, from a small convolutional network that looks at relational maps (the
confidence that a user sees); and a relative one, the expected gain over the image's first mask, from what changed
(`matching.mask_difference`), by which sets are chosen. Neither sees a feature channel, so that both serve classes and
backbones they never saw.

Legend: `B` masks, `S` shots, (h, w) patch grid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpoa.matching.mask_difference import DIFFERENCES
from gpoa.matching.relational_maps import IMAGE_MAPS, MASK_MAPS, REFERENCE_MAPS, SCALARS

LOGIT = MASK_MAPS.index("logit")
LOGIT_SCALE = 5.0
GROUPS = 4
GAIN_LIMIT = 0.3
RIDGE_SHARE = 0.3
"""Penalty of the ridge, as a share of each input's sum of squares."""
LEAST_OVERLAP = 0.1
"""IoU (on the patch grid) with the first mask below which no gain is believed: there a linear model only extrapolates.
The penalty was chosen on 33 of the benchmark's training classes, with the shipped policy, which was not trained on
them."""
CHANGE = [DIFFERENCES.index("added"), DIFFERENCES.index("removed")]


class MapBatch(NamedTuple):
    """Maps and scalars of B masks.

    Args:
        target: [B, len(MASK_MAPS) + len(IMAGE_MAPS), h, w] float32, the mask first.
        reference: [B, S, len(REFERENCE_MAPS), h, w] float32, the reference mask first.
        scalars: [B, len(SCALARS)] float32.
        differences: [B, len(DIFFERENCES)] float32.
    """

    target: Tensor
    reference: Tensor
    scalars: Tensor
    differences: Tensor


class Quality(NamedTuple):
    """What is expected of B masks.

    Args:
        iou: [B] in [0, 1].
        gain: [B] IoU above that of the first mask of the image, in [-1, 1].
    """

    iou: Tensor
    gain: Tensor


class QualityNet(nn.Module):
    """Predicts the IoU of a mask without ground truth.

    Args:
        width: channels of the inner convolutions.
        hidden: width of the head.
        dropout: in the head, while training.
    """

    def __init__(self, width: int = 32, hidden: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.fine = _block(len(MASK_MAPS) + len(IMAGE_MAPS), width // 2)
        self.coarse = nn.Sequential(_block(width // 2, width), _block(width, width))
        self.reference = nn.Sequential(_block(len(REFERENCE_MAPS), 16), nn.AvgPool2d(2), _block(16, 16))
        pooled = width // 2 + 4 * width + 2 * 16
        self.head = nn.Sequential(
            nn.Linear(pooled + len(SCALARS), hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )
        self.register_buffer("scalar_mean", torch.zeros(len(SCALARS)))
        self.register_buffer("scalar_std", torch.ones(len(SCALARS)))

    def set_scale(self, scalars: Tensor) -> None:
        """Takes the mean and the spread of the scalars [B, len(SCALARS)] of the training data."""
        self.scalar_mean.copy_(scalars.mean(dim=0))
        self.scalar_std.copy_(scalars.std(dim=0) + 1e-3)

    def forward(self, batch: MapBatch) -> Tensor:
        """Returns [B] logits; their sigmoid is the predicted IoU."""
        scaled = (batch.scalars - self.scalar_mean) / self.scalar_std
        return self.head(torch.cat([self._target(batch.target), self._known(batch.reference), scaled], dim=1))[:, 0]

    def _target(self, maps: Tensor) -> Tensor:
        """Means over the mask, its outside, its edge and everything."""
        maps = maps.clone()
        maps[:, LOGIT] /= LOGIT_SCALE
        mask = maps[:, :1]
        fine = self.fine(maps)
        small, coarse = functional.avg_pool2d(mask, 2), self.coarse(functional.avg_pool2d(fine, 2))
        places = (small, 1 - small, 4 * small * (1 - small))
        means = [_mean_over(coarse, place) for place in places]
        return torch.cat([_mean_over(fine, mask), *means, coarse.mean(dim=(2, 3))], dim=1)

    def _known(self, maps: Tensor) -> Tensor:
        """Means over the reference's mask and its outside, all shots together."""
        shots = maps.shape[1]
        mask = functional.avg_pool2d(maps[:, :, 0], 2)  # [B, S, h/2, w/2]
        read = self.reference(maps.flatten(0, 1)).unflatten(0, (-1, shots))  # [B, S, 16, h/2, w/2]
        means = [
            (read * place[:, :, None]).sum(dim=(1, 3, 4)) / (place.sum(dim=(1, 2, 3))[:, None] + 0.5)
            for place in (mask, 1 - mask)
        ]
        return torch.cat(means, dim=1)


class GainModel(nn.Module):
    """Predicts how much better a mask is than the first one of its image: a ridge regression that learns as data comes
    in.

    It keeps the sums that a least-squares fit needs, so that an update is exact, cheap, and the same after a resumed
    run. (On the training classes it chose better than networks of the same inputs; see the README.)
    """

    def __init__(self) -> None:
        super().__init__()
        size = len(DIFFERENCES) + 1  # and the intercept: most changes hurt
        self.register_buffer("gram", torch.zeros(size, size, dtype=torch.float64))
        self.register_buffer("moment", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros(size))

    def learn(self, differences: Tensor, truth: Tensor) -> None:
        """Takes masks of several images into the fit; every image weighs the same.

        Args:
            differences: [images, masks, len(DIFFERENCES)], the first mask of an image first.
            truth: [images, masks] IoU in [0, 1]; gains beyond +-0.3 are clipped, so that no single image rules.
        """
        gain = (truth - truth[:, :1]).clamp(-GAIN_LIMIT, GAIN_LIMIT).double()
        inputs = self._inputs(differences).double()
        changed = self._changed(differences).double()
        share = changed / changed.sum(dim=1, keepdim=True).clamp(min=1)
        self.gram += torch.einsum("im,imf,img->fg", share, inputs, inputs)
        self.moment += torch.einsum("im,imf,im->f", share, inputs, gain)
        self.solve()

    def solve(self) -> None:
        """Fits the weights to all that was taken in."""
        spread = self.gram.diagonal()
        penalty = torch.diag(RIDGE_SHARE * spread + 1e-6 * spread.max().clamp(min=1e-6))
        self.weight.copy_(torch.linalg.solve(self.gram + penalty, self.moment))

    def forward(self, differences: Tensor) -> Tensor:
        """[B, len(DIFFERENCES)] -> [B] gains in [-1, 1]; 0 for a mask that is the first one, and -1 for a mask that
        shares too little with it: there a linear model would only extrapolate."""
        gain = (self._inputs(differences) @ self.weight).clamp(-1, 1) * self._changed(differences)
        return gain.masked_fill(1 - differences[..., CHANGE].sum(dim=-1) < LEAST_OVERLAP, -1)

    @staticmethod
    def _inputs(differences: Tensor) -> Tensor:
        return torch.cat([differences, torch.ones_like(differences[..., :1])], dim=-1)

    @staticmethod
    def _changed(differences: Tensor) -> Tensor:
        return (differences[..., CHANGE].sum(dim=-1) > 0).float()


class QualityHead(nn.Module):
    """The absolute answer (mean of several networks of different seeds) and the relative one.

    Args:
        members: how many networks.
        width: see `QualityNet`.
    """

    def __init__(self, members: int = 3, width: int = 32) -> None:
        super().__init__()
        self.absolute = nn.ModuleList(QualityNet(width) for _ in range(members))
        self.relative = GainModel()

    def set_scale(self, batch: MapBatch) -> None:
        """Takes means and spreads from masks of the training data."""
        for member in self.absolute:
            member.set_scale(batch.scalars)

    def forward(self, batch: MapBatch) -> Quality:
        """Judges B masks; the absolute answer is the mean over the maps and their mirror images, too."""
        mirrored = batch._replace(target=batch.target.flip(-1), reference=batch.reference.flip(-1))
        looks = [torch.sigmoid(member(view)) for member in self.absolute for view in (batch, mirrored)]
        return Quality(torch.stack(looks).mean(dim=0), self.relative(batch.differences))


def quality_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of the predicted IoU.

    Args:
        logits: [images, masks] from `QualityNet`.
        truth: [images, masks] IoU in [0, 1].

    Returns:
        Scalar.
    """
    return functional.binary_cross_entropy_with_logits(logits, truth)


def _block(inward: int, outward: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inward, outward, 3, padding=1), nn.GroupNorm(GROUPS, outward), nn.ReLU())


def _mean_over(maps: Tensor, place: Tensor) -> Tensor:
    """[B, C] mean of maps [B, C, h, w] weighted by a place [B, 1, h, w]; near 0 where there is none."""
    return (maps * place).sum(dim=(2, 3)) / (place.sum(dim=(2, 3)) + 0.5)
