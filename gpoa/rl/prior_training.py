"""The training run of the prior around its pairs: validation by class, calibration, and the file that is shipped.

    runs/<id>/pairs/    maps of all pairs (computed once)
    runs/<id>/prior.pt  the network in use: running mean of the weights, temperature, what it was trained on
    runs/<id>/last.pt   to go on from; metrics.jsonl, events/ (TensorBoard)
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpoa import __version__
from gpoa.config import PriorTrainConfig
from gpoa.datasets.classes import LabelledClass
from gpoa.matching.prior.model import PriorCard, load_prior, save_prior
from gpoa.matching.prior.network import PriorNetwork
from gpoa.matching.prior.training import PriorTrainer
from gpoa.pipeline.backbones import Backbones
from gpoa.rl.prior_pairs import ClassPairs, PriorPairs, plan_pairs, set_of
from gpoa.tracking.metric_logger import MetricLogger

TEMPERATURES = np.exp(np.linspace(np.log(0.4), np.log(4.0), 24))
VALIDATION_PAIRS = 4
"""Pairs of a class that are looked at."""
BINS = 15


class Validation(NamedTuple):
    """How good a network is on classes that it was not trained on.

    Args:
        iou: mean IoU at probability one half: over pairs, classes, sets.
        mixture: the same of the training-free mixture of maps.
        temperature: by which logits are divided so that the cross entropy is least.
        calibration_error: expected calibration error of the probabilities at that temperature.
    """

    iou: float
    mixture: float
    temperature: float
    calibration_error: float


def split_by_set(names: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Splits classes by whole sets into training and validation classes.

    Args:
        names: of classes.
        share: of the sets that validate.
        seed: of the choice.

    Returns:
        (training, validation), each with at least one set where there are two.
    """
    sets = sorted({set_of(name) for name in names})
    count = min(len(sets) - 1, max(1, round(share * len(sets)))) if share > 0 else 0
    chosen = set(np.random.default_rng(seed).permutation(sets)[:count].tolist())
    return [name for name in names if set_of(name) not in chosen], [name for name in names if set_of(name) in chosen]


def validate(network: PriorNetwork, pairs: ClassPairs) -> Validation:
    """Looks at a few pairs of each validation class."""
    ours: dict[str, list[tuple[float, float]]] = {}
    kept: list[tuple[Tensor, Tensor]] = []
    network.eval()
    with torch.inference_mode():
        for name in pairs.names:
            for place in pairs.places[name][:VALIDATION_PAIRS]:
                batch, truth = pairs.pairs.read([place])
                logits, mixture = network(batch)[0][0], network.mix(batch)[0]
                ours.setdefault(name, []).append((_iou(logits > 0, truth[0] > 0.5), _iou(mixture > 0, truth[0] > 0.5)))
                kept.append((logits[::4, ::4].reshape(-1), truth[0, ::4, ::4].reshape(-1)))
    network.train()
    by_set: dict[str, list[np.ndarray]] = {}
    for name, values in ours.items():
        by_set.setdefault(set_of(name), []).append(np.mean(values, axis=0))
    iou, mixture = np.mean([np.mean(values, axis=0) for values in by_set.values()], axis=0)
    temperature = fit_temperature(*(torch.cat(part) for part in zip(*kept, strict=True)))
    return Validation(float(iou), float(mixture), temperature[0], temperature[1])


def fit_temperature(logits: Tensor, truth: Tensor) -> tuple[float, float]:
    """The temperature of least cross entropy, and the expected calibration error at it.

    Args:
        logits: [N].
        truth: [N] in [0, 1].

    Returns:
        (temperature, error in [0, 1]: the mean distance of the foreground's share from the probability, by bins).
    """
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    best = min(TEMPERATURES, key=lambda one: float(loss(logits / one, truth)))
    probability = torch.sigmoid(logits / best)
    place = (probability * BINS).long().clamp(max=BINS - 1)
    count = torch.bincount(place, minlength=BINS).clamp_min(1)
    gap = torch.bincount(place, truth - probability, minlength=BINS).abs() / count
    return float(best), float((gap * count).sum() / count.sum())


class PriorRun:
    """A run in its folder.

    Args:
        folder: the run's folder.
        backbones: the frozen models.
        classes: labelled classes; by default a share of their sets validates.
        config: how to train.
        images: of a class, at most.
        validation: share of the sets that validate.
        notes: plain values for the card: data, licences.
        emphasis: class -> how much more often it is drawn in training.
    """

    def __init__(
        self,
        folder: Path,
        backbones: Backbones,
        classes: Sequence[LabelledClass],
        config: PriorTrainConfig,
        images: int = 4,
        validation: float = 0.15,
        notes: dict[str, Any] | None = None,
        emphasis: Mapping[str, float] | None = None,
    ) -> None:
        self.folder, self.backbones, self.config = folder, backbones, config
        self.names = split_by_set([one.name for one in classes], validation, config.seed)
        self.pairs = PriorPairs(folder / "pairs", plan_pairs(classes, images, config.seed))
        self.notes, self.emphasis = dict(notes or {}), dict(emphasis or {})

    def prepare(self) -> Iterator[int]:
        """Computes the maps that are missing; yields after each pair."""
        return self.pairs.fill(self.backbones)

    def train(self, resume: bool = False, start_from: Path | None = None) -> Iterator[dict[str, float]]:
        """Trains; yields scalars after each update, and writes `last.pt` and `prior.pt` now and then and at the end.

        Args:
            resume: go on from `last.pt` in the run's folder.
            start_from: a prior whose weights this run begins with (a second cycle of the learning rate).

        Raises:
            DataError: no pair can be used.
            ModelError: the run cannot be gone on from.
        """
        training = self.pairs.of(self.names[0], self.emphasis)
        validation = self.pairs.of(self.names[1]) if self.names[1] else None
        trainer = PriorTrainer(training, self.config)
        if resume:
            trainer.resume(self.folder / "last.pt")
        elif start_from is not None:
            trainer.start_from(load_prior(start_from).network)
        metrics = MetricLogger(self.folder, (), asdict(self.config), from_step=trainer.step)
        try:
            while trainer.step < self.config.updates:
                losses = trainer.update()
                scalars = {f"train/{name}": value for name, value in losses._asdict().items()}
                if trainer.step % self.config.save_every == 0 or trainer.step == self.config.updates:
                    scalars |= self._save(trainer, validation)
                metrics.log(scalars, trainer.step)
                yield scalars
        finally:
            metrics.close()

    def _save(self, trainer: PriorTrainer, validation: ClassPairs | None) -> dict[str, float]:
        """Writes both files; returns what validation says."""
        found = None if validation is None else validate(trainer.mean, validation)
        trainer.save(self.folder / "last.pt")
        training = {
            **self.notes,
            "gpoa_version": __version__,
            "machine": f"{platform.machine()}, {platform.system()}",
            "models": self.backbones.ids,
            "config": asdict(self.config),
            "updates": trainer.step,
            "train_classes": self.names[0],
            "emphasis": self.emphasis,
            "validation_classes": self.names[1],
            "validation": None if found is None else found._asdict(),
        }
        save_prior(
            self.folder / "prior.pt", trainer.mean, PriorCard(1.0 if found is None else found.temperature, training)
        )
        return {} if found is None else {f"eval/{name}": value for name, value in found._asdict().items()}


def _iou(mask: Tensor, truth: Tensor) -> float:
    """IoU of two masks; 1 where both are empty."""
    union = int((mask | truth).sum())
    return float((mask & truth).sum()) / union if union else 1.0
