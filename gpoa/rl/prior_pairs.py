"""Training pairs of the prior: the maps of every reference and target of labelled classes, computed once and kept on
disk.

    classes --ordered pairs--> PriorPairs.fill --> <folder>/coarse.npy middle.npy fine.npy rgb.npy mask.npy

A pair of an absent object takes its target from a class of another set; its mask is empty.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gpoa.datasets.classes import LabelledClass
from gpoa.datasets.folder import spaced
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.errors import DataError, GpoaError
from gpoa.features.cache import image_digest
from gpoa.geometry import area_mean
from gpoa.matching.prior.maps import COARSE, COARSE_MAPS, FINE, FINE_MAPS, MIDDLE, MIDDLE_MAPS, PriorReference
from gpoa.matching.prior.network import PriorBatch
from gpoa.matching.reference import make_reference
from gpoa.pipeline.backbones import Backbones
from gpoa.pipeline.reference import fit_prior_reference
from gpoa.runtime.atomic import write_atomic
from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.types import Sample

logger = logging.getLogger(__name__)

ARRAYS: dict[str, tuple[tuple[int, ...], str]] = {
    "coarse": ((len(COARSE_MAPS), COARSE, COARSE), "f2"),
    "middle": ((len(MIDDLE_MAPS), MIDDLE, MIDDLE), "f2"),
    "fine": ((len(FINE_MAPS), FINE, FINE), "f2"),
    "rgb": ((3, FINE, FINE), "u1"),
    "mask": ((FINE, FINE), "u1"),
    "done": ((), "u1"),
}
"""Name -> shape of one pair and type; masks are shares of 255."""
MISSING, MADE, UNUSABLE = 0, 1, 2


@dataclass(frozen=True)
class PriorPair:
    """One pair to be.

    Args:
        name: the reference's class.
        reference: a labelled image.
        target: another one of the class, or, where the object is absent, one of another set.
        absent: the target does not show the object.
    """

    name: str
    reference: Sample
    target: Sample
    absent: bool = False

    @property
    def key(self) -> list[str]:
        """What identifies the pair in the folder's list."""
        return [self.name, str(self.reference.image_path), str(self.target.image_path), str(self.absent)]


def set_of(name: str) -> str:
    """The set that a class belongs to: the first part of its name."""
    return name.split("/")[0]


def plan_pairs(classes: Sequence[LabelledClass], images: int, seed: int) -> list[PriorPair]:
    """All ordered pairs of the first images of each class, and one pair of an absent object a class.

    Args:
        classes: to train or to validate on.
        images: of a class, at most, evenly spaced by name.
        seed: of the targets without the object.
    """
    rng, pairs = np.random.default_rng(seed), []
    for one in classes:
        samples = [one.samples[place] for place in spaced(len(one.samples), images)]
        pairs += [PriorPair(one.name, a, b) for a in samples for b in samples if a is not b]
        strangers = [other for other in classes if set_of(other.name) != set_of(one.name)]
        if strangers:
            other = strangers[int(rng.integers(len(strangers)))]
            target = other.samples[int(rng.integers(len(other.samples)))]
            pairs.append(PriorPair(one.name, samples[0], target, absent=True))
    return pairs


class PriorPairs:
    """Pairs on disk; see `gpoa.matching.prior.training.Pairs`.

    Args:
        folder: holds the arrays; made where it is missing.
        pairs: all of them.

    Raises:
        DataError: the folder holds other pairs.
    """

    def __init__(self, folder: Path, pairs: Sequence[PriorPair]) -> None:
        self.folder, self.pairs = folder, list(pairs)
        folder.mkdir(parents=True, exist_ok=True)
        listing = json.dumps([pair.key for pair in self.pairs], indent=0).encode()
        known = folder / "pairs.json"
        if known.is_file() and known.read_bytes() != listing:
            raise DataError(f"{folder}: holds the maps of other pairs; choose another --output, or delete it")
        if not known.is_file():
            for name, (shape, kind) in ARRAYS.items():
                shape = (len(self.pairs), *shape)
                np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=kind, shape=shape).flush()
            write_atomic(known, listing)
        self.arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ARRAYS}

    def fill(self, backbones: Backbones) -> Iterator[int]:
        """Computes the maps that are missing; yields after each pair. Stopped at any moment, it goes on where it
        was."""
        shots: dict[Sample, tuple[np.ndarray, np.ndarray]] = {}
        fitted: tuple[Sample, PriorReference] | None = None
        for place in np.flatnonzero(self.arrays["done"] == MISSING):
            pair = self.pairs[place]
            try:
                if fitted is None or fitted[0] is not pair.reference:
                    shots.clear()
                    fitted = pair.reference, _fit(backbones, *_load(pair.reference, shots))
                self._fill_one(int(place), pair, fitted[1], backbones, _load(pair.target, shots))
                self.arrays["done"][place] = MADE
            except GpoaError as error:
                logger.warning("%s teaches nothing: %s", pair.target.image_path, error)
                self.arrays["done"][place] = UNUSABLE
            yield int(place)

    def _fill_one(
        self,
        place: int,
        pair: PriorPair,
        reference: PriorReference,
        backbones: Backbones,
        shot: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Writes the maps of one pair."""
        image, mask = shot
        key = image_digest(image)
        features = backbones.features(image, key)
        cells = embedding_tokens(backbones.embedding(image, key), (MIDDLE, MIDDLE))
        maps = reference.maps(features, cells, image)
        for name in ("coarse", "middle", "fine", "rgb"):
            self.arrays[name][place] = getattr(maps, name)
        share = np.zeros((FINE, FINE)) if pair.absent else np.clip(area_mean(mask, (FINE, FINE)), 0, 1)
        self.arrays["mask"][place] = np.round(share * 255)

    def of(self, names: Sequence[str], emphasis: Mapping[str, float] | None = None) -> ClassPairs:
        """The pairs of some classes, for training or validation; see `ClassPairs`."""
        return ClassPairs(self, set(names), emphasis or {})

    def read(self, places: Sequence[int]) -> tuple[PriorBatch, Tensor]:
        """Maps and masks [B, 256, 256] of pairs."""

        def level(name: str) -> Tensor:
            return torch.from_numpy(np.stack([self.arrays[name][place] for place in places]).astype(np.float32))

        batch = PriorBatch(level("coarse"), level("middle"), level("fine"), level("rgb") / 255)
        return batch, level("mask") / 255


class ClassPairs:
    """The pairs of some classes, drawn by class.

    Args:
        pairs: all pairs.
        names: the classes.
        emphasis: class -> how much more often it is drawn than one that is not named.

    Raises:
        DataError: none of their pairs can be used.
    """

    def __init__(self, pairs: PriorPairs, names: set[str], emphasis: Mapping[str, float]) -> None:
        self.pairs = pairs
        self.places: dict[str, list[int]] = {}
        self.absent: list[int] = []
        for place in np.flatnonzero(pairs.arrays["done"] == MADE):
            pair = pairs.pairs[place]
            if pair.name in names and pair.absent:
                self.absent.append(int(place))
            elif pair.name in names:
                self.places.setdefault(pair.name, []).append(int(place))
        if not self.places:
            raise DataError("no usable pair of these classes; are the masks right?")
        self.names = sorted(self.places)
        sizes = {one: sum(set_of(name) == one for name in self.names) for one in map(set_of, self.names)}
        # A set with many classes shows few kinds of pictures: each of its classes counts less.
        weights = np.array([emphasis.get(name, 1.0) * sizes[set_of(name)] ** -0.5 for name in self.names])
        self.weights = weights / weights.sum()

    def draw(self, count: int, absent: float, rng: np.random.Generator) -> tuple[PriorBatch, Tensor]:
        """Draws pairs of random classes.

        Args:
            count: pairs.
            absent: share of pairs without the object.
            rng: draws.
        """
        chosen = []
        for _ in range(count):
            places = self.absent
            if not places or rng.random() >= absent:
                places = self.places[self.names[rng.choice(len(self.names), p=self.weights)]]
            chosen.append(places[int(rng.integers(len(places)))])
        return self.pairs.read(chosen)


def _load(sample: Sample, shots: dict[Sample, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask of a sample; those of the latest reference's pairs are kept."""
    if sample not in shots:
        assert sample.mask_path is not None, "training samples have masks"
        image = load_image(sample.image_path)
        shots[sample] = image, load_mask(sample.mask_path, (image.shape[0], image.shape[1]), allow_empty=True)
    return shots[sample]


def _fit(backbones: Backbones, image: np.ndarray, mask: np.ndarray) -> PriorReference:
    """The labelled side of one reference."""
    reference = make_reference([(backbones.features(image), mask)])
    cells = embedding_tokens(backbones.embedding(image), (MIDDLE, MIDDLE))
    return fit_prior_reference([(image, mask)], reference, [cells], backbones.joined_layers)
