"""The agents of Stable-Baselines3 in the pipeline: an image as a bubble episode, and what a policy makes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpoa.config import GpoaConfig, digest
from gpoa.datasets.prompt_file import PromptRecord
from gpoa.envs import bubble_places
from gpoa.envs.bubble_episode import ACTIONS, LIMIT, BubbleEpisode, BubbleImage
from gpoa.envs.bubble_observation import NUMBERS
from gpoa.errors import ConfigError, ModelError, PromptError
from gpoa.pipeline.backbones import Backbones
from gpoa.search.bubble_agent import run_bubble_agent
from gpoa.search.posterior import Posterior
from gpoa.search.strategies import Optimized
from gpoa.types import PointPrompts, ScoreMap

if TYPE_CHECKING:
    from gpoa.policies.sb3_policy import Sb3Policy

logger = logging.getLogger(__name__)

SHAPING = ("matching", "threshold", "candidates")
"""Sections of the config that shape an observation,"""
NOT_SHAPING = {"matching": ("prior",), "threshold": ("presence", "sureness")}
"""but for these: which prior is in use is told, and the guards against absent objects are no part of an episode."""


def bubble_contract(config: GpoaConfig) -> dict[str, Any]:
    """All that shapes an observation or an action, as plain values."""
    rules = (bubble_places.CELLS, bubble_places.CANDIDATES, bubble_places.APART, LIMIT)
    errors = (bubble_places.REGION, bubble_places.SMALLEST_ERROR, bubble_places.NEIGHBOURHOOD)
    sections = {}
    for name in SHAPING:
        values = asdict(getattr(config, name))
        sections[name] = {key: value for key, value in values.items() if key not in NOT_SHAPING.get(name, ())}
    return {"numbers": NUMBERS, "actions": ACTIONS, "rules": (*rules, *errors), **sections}


def open_bubble(
    backbones: Backbones,
    image: np.ndarray,
    record: PromptRecord,
    score_map: ScoreMap,
    horizon: int,
    compare: Callable[[np.ndarray], float] | None = None,
) -> BubbleEpisode:
    """The image as a decision process for an agent of Stable-Baselines3.

    Args:
        backbones: the frozen models.
        image: [H, W, 3] uint8 RGB.
        record: initial prompts, ours or a user's own.
        score_map: of the image, by the prior.
        horizon: actions after which the episode ends.
        compare: while training, scores mask logits [256, 256] against the ground truth.

    Raises:
        PromptError: the score map is not the prior's.
    """
    if score_map.detail is None:
        raise PromptError(
            f"{record.image}: the agents of Stable-Baselines3 need the prior; make the prompts with --matching.method "
            "prior, or choose another --optimize.strategy"
        )
    size = (image.shape[0], image.shape[1])
    features, embedding = backbones.features(image), backbones.embedding(image)
    seen = BubbleImage(
        name=record.image,
        original_size=size,
        probability=Posterior.of(score_map, size).probability,
        tokens=features.tokens,
        grid_size=features.grid_size,
        start=record.prompts,
        picture=image,
    )

    def decode(prompts: PointPrompts) -> tuple[np.ndarray, float]:
        answer = backbones.segmenter.decode(embedding, [prompts])
        return answer.low_res_logits[0, 0], float(answer.iou_predictions[0, 0])

    return BubbleEpisode(seen, decode, horizon, compare)


class Sb3Agent:
    """The policy of a config, loaded when it is first asked for.

    Args:
        config: every choice.
        ids: names of the weights in use (`Backbones.ids`).
    """

    def __init__(self, config: GpoaConfig, ids: dict[str, str]) -> None:
        self.config, self.ids = config, ids
        self._policy: Sb3Policy | None = None
        self._digest = ""

    @property
    def digest(self) -> str:
        """Names the policy's file; loads it, so that a wrong one is refused before the first image."""
        _ = self.policy
        return self._digest

    @property
    def policy(self) -> Sb3Policy:
        """The trained policy, loaded once.

        Raises:
            ConfigError: no file is named, or Stable-Baselines3 is not installed.
            ModelError: the file cannot be used.
        """
        if self._policy is None:
            from gpoa.policies.sb3_policy import load_sb3_policy

            said = self.config.optimize.policy
            if said is None:
                raise ConfigError("--strategy sb3 needs --optimize.policy FILE.zip; train one with `gpoa train sb3`")
            path = _policy_file(Path(said).expanduser())
            self._policy = load_sb3_policy(path, bubble_contract(self.config))
            self._digest = digest(path.read_bytes().hex())
            if self._policy.card.models != self.ids:
                logger.warning("%s was trained with other models; what it expects may be off", path)
        return self._policy

    def improve(
        self, backbones: Backbones, config: GpoaConfig, image: np.ndarray, record: PromptRecord, score_map: ScoreMap
    ) -> tuple[Optimized, dict[str, Any]]:
        """Lets the policy add and remove points of a prompt set.

        Args:
            backbones: the frozen models.
            config: every choice.
            image: [H, W, 3] uint8 RGB.
            record: the initial prompts.
            score_map: of the image, by the prior.

        Returns:
            (all trials and the best of them, facts for the record's provenance).

        Raises:
            PromptError: the score map is not the prior's.
        """
        policy = self.policy
        episode = open_bubble(backbones, image, record, score_map, policy.card.horizon)
        result = run_bubble_agent(policy, episode, config.optimize.budget, policy.card.margin)
        facts = {
            "policy": self.digest,
            "algorithm": policy.card.algorithm,
            "decoder_calls": episode.decoder_calls,
            "start_score": round(result.trials[0].score, 5),
        }
        return result, facts


def _policy_file(path: Path) -> Path:
    """The zip file itself, or that of a run's folder.

    Raises:
        ModelError: a folder without one.
    """
    if not path.is_dir():
        return path
    for name in ("best/best_model.zip", "policy.zip"):
        if (path / name).is_file():
            return path / name
    raise ModelError(f"--optimize.policy {path}: holds no policy.zip; train one with `gpoa train sb3`")
