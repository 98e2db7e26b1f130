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
SCALE_LIMIT = 5.0
GAIN_LIMIT = 0.3
TEMPERATURE = 0.05


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


class GainNet(nn.Module):
    """Predicts how much better a mask is than the first one of its image: a linear model and a small correction.

    Args:
        hidden: width of the correction.
        dropout: on it, while training.
    """

    def __init__(self, hidden: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.linear = nn.Linear(len(DIFFERENCES), 1, bias=False)
        self.correction = nn.Sequential(
            nn.Linear(len(DIFFERENCES), hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, 1, bias=False)
        )
        nn.init.zeros_(self.linear.weight)
        nn.init.normal_(self.correction[-1].weight, std=0.01)
        self.register_buffer("scale", torch.ones(len(DIFFERENCES)))

    def set_scale(self, differences: Tensor) -> None:
        """Takes the spread of the differences [B, len(DIFFERENCES)] of the training data."""
        self.scale.copy_(differences.std(dim=0) + 1e-3)

    def forward(self, differences: Tensor) -> Tensor:
        """Returns [B] gains."""
        scaled = (differences / self.scale).clamp(-SCALE_LIMIT, SCALE_LIMIT)
        return (self.linear(scaled) + self.correction(scaled))[:, 0]


class QualityHead(nn.Module):
    """Means over several networks of both kinds, trained from different seeds.

    Args:
        members: how many of each.
        width: see `QualityNet`.
    """

    def __init__(self, members: int = 3, width: int = 32) -> None:
        super().__init__()
        self.absolute = nn.ModuleList(QualityNet(width) for _ in range(members))
        self.relative = nn.ModuleList(GainNet() for _ in range(members))

    def set_scale(self, batch: MapBatch) -> None:
        """Takes means and spreads from masks of the training data."""
        for member in self.absolute:
            member.set_scale(batch.scalars)
        for member in self.relative:
            member.set_scale(batch.differences)

    def forward(self, batch: MapBatch) -> Quality:
        """Judges B masks; the absolute answer is the mean over the maps and their mirror images, too."""
        mirrored = batch._replace(target=batch.target.flip(-1), reference=batch.reference.flip(-1))
        looks = [torch.sigmoid(member(view)) for member in self.absolute for view in (batch, mirrored)]
        gains = [member(batch.differences) for member in self.relative]
        return Quality(torch.stack(looks).mean(dim=0), torch.stack(gains).mean(dim=0))


def quality_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of the predicted IoU.

    Args:
        logits: [images, masks] from `QualityNet`.
        truth: [images, masks] IoU in [0, 1].

    Returns:
        Scalar.
    """
    return functional.binary_cross_entropy_with_logits(logits, truth)


def gain_loss(gain: Tensor, truth: Tensor, rank_weight: float = 0.3) -> Tensor:
    """Huber loss of the gain over the first mask, and cross-entropy of the order of the masks (ListNet, Cao et al. 2007).

    Args:
        gain: [images, masks] from `GainNet`; the first mask of an image is the first.
        truth: [images, masks] IoU in [0, 1]; gains beyond +-0.3 are clipped, so that no single image rules.
        rank_weight: weight of the order.

    Returns:
        Scalar.
    """
    wanted = (truth - truth[:, :1]).clamp(-GAIN_LIMIT, GAIN_LIMIT)
    gain = gain - gain[:, :1]
    value = functional.smooth_l1_loss(gain / TEMPERATURE, wanted / TEMPERATURE) / 10
    order = functional.softmax(wanted / TEMPERATURE, dim=1) * functional.log_softmax(gain / TEMPERATURE, dim=1)
    return value - rank_weight * order.sum(dim=1).mean()


def _block(inward: int, outward: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inward, outward, 3, padding=1), nn.GroupNorm(GROUPS, outward), nn.ReLU())


def _mean_over(maps: Tensor, place: Tensor) -> Tensor:
    """[B, C] mean of maps [B, C, h, w] weighted by a place [B, 1, h, w]; near 0 where there is none."""
    return (maps * place).sum(dim=(2, 3)) / (place.sum(dim=(2, 3)) + 0.5)
