"""Training an agent from folders of labelled images: episodes out of classes, and the run around the trainer.

    classes --pairs of reference and target--> FolderEpisodes --> Trainer --> runs/<id>/policy.pt
"""

from __future__ import annotations

import json
import logging
import platform
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpoa import __version__
from gpoa.config import GpoaConfig, PolicyConfig, TrackerName, TrainConfig, to_dict
from gpoa.datasets.classes import LabelledClass
from gpoa.datasets.folder import spaced
from gpoa.datasets.image_io import load_image
from gpoa.datasets.mask_io import load_mask
from gpoa.envs.episode import PromptEpisode
from gpoa.envs.rewards import make_compare
from gpoa.errors import DataError, GpoaError
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.image import ImagePipeline
from gpoa.policies.graph_policy import GraphPolicy, PolicyCard, save_policy
from gpoa.rl.evaluate import Evaluation
from gpoa.rl.trainer import Trainer, Update
from gpoa.runtime.atomic import write_atomic
from gpoa.tracking.metric_logger import MetricLogger
from gpoa.types import Sample

logger = logging.getLogger(__name__)

EPISODES_IN_MEMORY = 768
TURNS = 8
ATTEMPTS = 50


@dataclass(frozen=True)
class Pair:
    """One episode to be: references and a target of one class.

    Args:
        name: the class.
        references: k labelled images.
        target: another one.
        turn: 0, or how the references are mirrored and turned (1 to 7).
    """

    name: str
    references: tuple[Sample, ...]
    target: Sample
    turn: int = 0


class FolderEpisodes:
    """Episodes from classes on disk; embeddings come from the cache, opened episodes stay in memory.

    Args:
        segmenter: the pipeline; its references change from episode to episode.
        train: classes to train on.
        held_out: classes to look at now and then.
        config: pairs, shots, augmentation, seed.

    Raises:
        DataError: no pair of a class can be used.
    """

    def __init__(
        self,
        segmenter: ImagePipeline,
        train: Sequence[LabelledClass],
        held_out: Sequence[LabelledClass],
        config: TrainConfig,
    ) -> None:
        self.segmenter, self.config = segmenter, config
        rng = np.random.default_rng(config.seed)
        self.pairs = [self._draw_pairs(one, rng) for one in train]
        self.held_out_pairs = spread_pairs(held_out, config.shots, config.eval_images)
        self._episodes: OrderedDict[Pair, PromptEpisode | None] = OrderedDict()
        self._held: list[tuple[str, PromptEpisode]] | None = None
        self._reference: tuple[tuple[Sample, ...], int] | None = None
        self._folders: dict[str, dict[Path, Sample]] = {}
        for one in (*train, *held_out):
            self._folders.setdefault(one.name, {}).update({sample.image_path: sample for sample in one.samples})
        self._first_masks: dict[tuple, dict[Path, np.ndarray]] = {}

    def sample(self, rng: np.random.Generator) -> PromptEpisode:
        """A random pair of a random class; pairs whose object is not found at all are passed over.

        Raises:
            DataError: nothing usable was found in many attempts.
        """
        for _ in range(ATTEMPTS):
            own = self.pairs[int(rng.integers(len(self.pairs)))]
            episode = self._open(own[int(rng.integers(len(own)))])
            if episode is not None:
                return episode
        raise DataError("no usable training episode found; are the masks right, and is the object in the images?")

    def held_out(self) -> list[tuple[str, PromptEpisode]]:
        """The episodes of the held-out classes, always the same; these stay in memory."""
        if self._held is None:
            opened = [(pair.name, self._make(pair)) for pair in self.held_out_pairs]
            self._held = [(name, episode) for name, episode in opened if episode is not None]
            if not self._held:
                raise DataError("no usable held-out episode found; are the masks of the held-out classes right?")
        return self._held

    def _draw_pairs(self, one: LabelledClass, rng: np.random.Generator) -> list[Pair]:
        """Distinct pairs of one class."""
        shots = min(self.config.shots, len(one.samples) - 1)
        drawn: dict[tuple, Pair] = {}
        for _ in range(4 * self.config.pairs):
            if len(drawn) == self.config.pairs:
                break
            picked = rng.permutation(len(one.samples))[: shots + 1]
            turn = int(rng.integers(1, TURNS)) if rng.random() < self.config.augment else 0
            references = tuple(one.samples[index] for index in sorted(picked[1:]))
            key = (tuple(sorted(picked[1:])), int(picked[0]), turn)
            drawn.setdefault(key, Pair(one.name, references, one.samples[picked[0]], turn))
        return list(drawn.values())

    def _open(self, pair: Pair) -> PromptEpisode | None:
        """The pair's episode, from memory where it was opened before; the one unused for longest makes room."""
        if pair not in self._episodes:
            self._episodes[pair] = self._make(pair)
            if len(self._episodes) > EPISODES_IN_MEMORY:
                self._episodes.popitem(last=False)
        self._episodes.move_to_end(pair)
        return self._episodes[pair]

    def _make(self, pair: Pair) -> PromptEpisode | None:
        """Opens an episode; None where the object is not found, or an image cannot be used."""
        try:
            if self._reference != (pair.references, pair.turn):
                shots = [turned(load_image(one.image_path), _mask(one), pair.turn) for one in pair.references]
                self.segmenter.fit([image for image, _ in shots], [mask for _, mask in shots])
                self._learn_folder(pair)
                self._reference = (pair.references, pair.turn)
            image, truth = load_image(pair.target.image_path), _mask(pair.target, allow_empty=True)
            record = self.segmenter.initial_prompts(image, pair.target.stem)
        except GpoaError as error:
            logger.warning("%s is left out: %s", pair.target.image_path, error)
            self._reference = None
            return None
        if record.prompts.is_empty:
            return None
        return self.segmenter.open_episode(image, record, make_compare(self.config.reward, truth))

    def _learn_folder(self, pair: Pair) -> None:
        """The other images of the class are the folder; their first masks are remembered for the next pair of the
        reference."""
        limit = self.segmenter.config.graph.folder_images
        others = [one for one in self._folders[pair.name].values() if one not in pair.references]
        if not limit or not others:
            return
        segmenter, known = self.segmenter, self._first_masks.setdefault((pair.references, pair.turn), {})
        masks = []
        for path in (others[place].image_path for place in spaced(len(others), limit)):
            try:
                image = load_image(path)
                if path not in known:
                    known[path] = segmenter.first_mask(image, segmenter.initial_prompts(image, path.name))
                masks.append((image, known[path]))
            except GpoaError as error:
                logger.debug("%s teaches nothing: %s", path, error)
        segmenter.learn_folder(masks)


def spread_pairs(classes: Sequence[LabelledClass], shots: int, count: int) -> list[Pair]:
    """About `count` pairs, the same number of each class: the first images are the references, the targets evenly
    spaced.

    Args:
        classes: held-out classes.
        shots: references of a pair.
        count: pairs in all, at most; every class gets at least one.
    """
    each = max(1, count // len(classes))
    pairs = []
    for one in classes:
        references, targets = one.samples[:shots], one.samples[shots:]
        pairs += [Pair(one.name, references, targets[place]) for place in spaced(len(targets), each)]
    return pairs


def turned(image: np.ndarray, mask: np.ndarray, turn: int) -> tuple[np.ndarray, np.ndarray]:
    """One of the eight mirrorings and quarter turns of an image and its mask; 0 is the image itself."""
    quarter, mirror = turn % 4, turn >= 4
    both = [np.rot90(part, quarter) for part in (image, mask)]
    image, mask = (np.ascontiguousarray(part[:, ::-1] if mirror else part) for part in both)
    return image, mask


class TrainingRun:
    """A run in its folder: configs saved, metrics logged, the best policy written with its card.

    Args:
        folder: the run's folder.
        config: the pipeline's choices; every one that shapes an observation is saved with the policy.
        policy_config: sizes of the networks.
        train_config: how to train.
        classes: (training classes, held-out classes).
        cache: embedding cache; default: the user's.
        trackers: optional trackers.
        notes: plain values for the policy's card: data, licences.
    """

    def __init__(
        self,
        folder: Path,
        config: GpoaConfig,
        policy_config: PolicyConfig,
        train_config: TrainConfig,
        classes: tuple[Sequence[LabelledClass], Sequence[LabelledClass]],
        cache: EmbeddingCache | None = None,
        trackers: Sequence[TrackerName] = (),
        notes: dict[str, Any] | None = None,
    ) -> None:
        import torch

        torch.manual_seed(train_config.seed)
        self.folder, self.trackers = folder, trackers
        # The presence check is the user's guard, not part of an episode: an absent object is worth learning from.
        self.config = replace(config, threshold=replace(config.threshold, presence=-1.0))
        self.segmenter = ImagePipeline(self.config, cache)
        self.source = FolderEpisodes(self.segmenter, *classes, train_config)
        self.policy = GraphPolicy(policy_config)
        self.notes = dict(notes or {}) | {
            "train_classes": [one.name for one in classes[0]],
            "held_out_classes": [one.name for one in classes[1]],
        }
        self.trainer = Trainer(self.policy, self.source, train_config, folder, self._save_policy)
        self.plain = {"gpoa": to_dict(config), "policy": asdict(policy_config), "train": asdict(train_config)}

    def start(self, resume: Path | None = None) -> Iterator[Update]:
        """Trains; yields after each update.

        Args:
            resume: a `last.pt` to go on from.

        Raises:
            ModelError, ConfigError: it cannot be gone on from.
        """
        if resume is not None:
            self.trainer.resume(resume)
        write_atomic(self.folder / "config.json", json.dumps(self.plain, indent=1).encode())
        metrics = MetricLogger(self.folder, self.trackers, self.plain, from_step=self.trainer.update_count)
        try:
            for update in self.trainer.run():
                metrics.log({**update.scalars, "time/seconds": update.seconds}, self.trainer.update_count)
                yield update
        finally:
            metrics.close()

    def _save_policy(self, path: Path, result: Evaluation) -> None:
        """Writes the policy with what is known of it."""
        training = {
            **self.notes,
            "gpoa_version": __version__,
            "updates": self.trainer.update_count,
            "machine": f"{platform.machine()}, {platform.system()}",
            "config": self.plain["train"],
            "held_out": result.scalars(),
        }
        card = PolicyCard(self.segmenter.backbones.ids, {"margin": result.margin}, json.loads(json.dumps(training)))
        save_policy(path, self.policy, self.config, card)


def _mask(sample: Sample, allow_empty: bool = False) -> np.ndarray:
    """The sample's mask, [H, W] bool."""
    return load_mask(sample.known_mask, allow_empty=allow_empty)
