"""A training run of a click agent around `ClickTraining`: validation, the best agent kept, metrics, the file.

The run's folder gets agent.pt (best on validation classes), metrics.jsonl and events/ (TensorBoard).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gpoa.config.clicks import ClickTrainConfig
from gpoa.envs.click_scene import ClickScene
from gpoa.errors import DataError
from gpoa.policies.click_network import AgentKind
from gpoa.rl.click_training import ClickTraining, mean_gain
from gpoa.rl.prior_pairs import set_of
from gpoa.search.click_learned import ClickCard, LearnedAgent, make_network, save_agent
from gpoa.segmenters.base import Segmenter
from gpoa.tracking.metric_logger import MetricLogger


class ClickRun:
    """One run.

    Args:
        folder: receives everything.
        scenes: labelled images of the training classes.
        segmenter: frozen.
        kind: which agent.
        config: of the training.
        validation: share of the sets that validate.

    Raises:
        DataError: nothing is left to train or to validate on.
    """

    def __init__(
        self,
        folder: Path,
        scenes: Sequence[ClickScene],
        segmenter: Segmenter,
        kind: AgentKind,
        config: ClickTrainConfig,
        validation: float = 0.15,
    ) -> None:
        self.folder, self.segmenter, self.kind, self.config = folder, segmenter, kind, config
        self.train, self.held = split_by_set(scenes, validation, config.seed)
        self.best = -np.inf

    def run(self) -> Iterator[dict[str, float]]:
        """Trains; yields the scalars of a round after it."""
        network = make_network(self.kind)
        training = ClickTraining(network, self.train, self.segmenter, self.config)
        self.folder.mkdir(parents=True, exist_ok=True)
        logger = MetricLogger(self.folder, (), {"kind": self.kind, **asdict(self.config)})
        for number, scalars in enumerate(training.run(), 1):
            gain = mean_gain(LearnedAgent(network), self.held, self.segmenter, self.config.steps)
            scalars |= {"eval/gain": gain}
            if gain > self.best:
                self.best = gain
                save_agent(self.folder / "agent.pt", network, ClickCard(training=self._history(number, gain)))
            logger.log(scalars, number)
            yield scalars
        logger.close()

    def _history(self, rounds: int, gain: float) -> dict[str, object]:
        """What the file says of its training."""
        return {
            "classes": sorted({scene.group for scene in self.train}),
            "validation": sorted({scene.group for scene in self.held}),
            "scenes": len(self.train),
            "segmenter": self.segmenter.model_id,
            "rounds": rounds,
            "config": asdict(self.config),
            "validation_gain": round(float(gain), 4),
        }


def split_by_set(
    scenes: Sequence[ClickScene], share: float, seed: int
) -> tuple[list[ClickScene], list[ClickScene]]:
    """Parts scenes so that no validation class has a sibling of its set among the training classes.

    Args:
        scenes: all of them.
        share: of the sets, at least one, that validate.
        seed: draws them.

    Raises:
        DataError: there are fewer than two sets (first parts of the classes' names).
    """
    names = sorted({set_of(scene.group) for scene in scenes})
    if len(names) < 2:
        raise DataError(f"{len(names)} sets of classes found; training a click agent needs two, one to validate on")
    count = min(max(1, round(share * len(names))), len(names) - 1)
    held = set(np.random.default_rng(seed).permutation(names)[:count].tolist())
    parts = [[scene for scene in scenes if (set_of(scene.group) in held) == kind] for kind in (False, True)]
    return parts[0], parts[1]
