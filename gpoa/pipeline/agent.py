"""The trained policy in the pipeline: whether it is used, its episodes, and what it makes of a prompt set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpoa.config import GpoaConfig, SegmentConfig, StrategyName, digest
from gpoa.datasets.prompt_file import PromptRecord
from gpoa.envs.episode import PromptEpisode
from gpoa.errors import ModelError
from gpoa.features.cache import image_digest
from gpoa.graph.nodes import PromptSource, build_nodes
from gpoa.matching.folder import FolderMatcher
from gpoa.matching.relational_maps import TargetView
from gpoa.models.store import find_policy
from gpoa.pipeline.backbones import Backbones
from gpoa.pipeline.prompting import Prompter, on_grid
from gpoa.runtime.precision import full_id
from gpoa.search.strategies import Optimized
from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.types import MaskPrediction, PointPrompts

if TYPE_CHECKING:
    from gpoa.policies.graph_policy import GraphPolicy, PolicyCard

logger = logging.getLogger(__name__)


class Agent:
    """The policy of a config, loaded when it is first asked for.

    Args:
        config: every choice.
        ids: names of the weights in use (`Backbones.ids`).
    """

    def __init__(self, config: GpoaConfig, ids: dict[str, str]) -> None:
        self.config, self.ids = config, ids
        self.digest: str | None = None
        self._auto: StrategyName | None = None
        self._policy: tuple[GraphPolicy, PolicyCard] | None = None

    def strategy(self, has_reference: bool) -> StrategyName:
        """The strategy in use: what `auto` stands for here.

        Args:
            has_reference: whether it is known what the object is; prompts of the user's own may come without.

        Raises:
            ModelError: a policy that the user named cannot be used.
        """
        settings = self.config.optimize
        if settings.strategy != "auto":
            return settings.strategy
        # No reference, or a way to make masks of prompts that the policy does not know.
        if not has_reference or self.config.segment != SegmentConfig():
            return "none"
        if self._auto is None:
            try:
                fits = _same_models(self.policy[1].models, self.ids)
            except ModelError as error:
                if settings.policy is not None:
                    raise
                logger.warning("prompts are not optimised: %s", error)
                fits = False
            self._auto = "agent-search" if fits else "none"
        return self._auto

    @property
    def policy(self) -> tuple[GraphPolicy, PolicyCard]:
        """The trained policy and its card, loaded once.

        Raises:
            ModelError: there is none, or it was trained with another config.
        """
        if self._policy is None:
            from gpoa.policies.graph_policy import load_policy

            path = find_policy(self.config.optimize.policy)
            self._policy = load_policy(path, self.config)
            self.digest = digest(path.read_bytes().hex())
            trained_with, asked = self._policy[1].models, self.config.optimize.strategy
            if not _same_models(trained_with, self.ids):
                then = "prompts are not optimised" if asked == "auto" else "what it expects may be off"
                used = names_of(self.ids)
                logger.warning("the policy was trained with %s, in use are %s: %s", names_of(trained_with), used, then)
        return self._policy

    def improve(self, episode: PromptEpisode, strategy: StrategyName) -> tuple[Optimized, dict[str, Any]]:
        """Improves the episode's prompt set with the policy and its quality head.

        Args:
            episode: from `open_episode`.
            strategy: one of the learned ones.

        Returns:
            (all trials and the best of them, facts for the prompt file's provenance).
        """
        from gpoa.search.agent import run_agent
        from gpoa.search.trials import to_trials

        policy, card = self.policy
        result = run_agent(policy, episode, self.config.optimize.budget, strategy, card.calibration["margin"])
        trials = to_trials(episode, result)
        best = next(trial for trial, judged in trials if judged is result.chosen)
        facts = {
            "policy": self.digest,
            "decoder_calls": episode.decoder_calls,
            "doubtful": result.chosen.iou < card.calibration.get("absent", 0.0),
            "expected_gain": round(result.chosen.gain, 5),
            "start_score": round(result.judged[0].iou, 5),
        }
        return Optimized(best, [trial for trial, _ in trials]), facts


def open_episode(
    backbones: Backbones,
    prompter: Prompter,
    folder: FolderMatcher | None,
    image: np.ndarray,
    record: PromptRecord,
    compare: Callable[[np.ndarray], float] | None = None,
) -> PromptEpisode:
    """The image as a decision process for the agent.

    Args:
        backbones: the frozen models.
        prompter: of the reference.
        folder: what was learned of the folder.
        image: [H, W, 3] uint8 RGB.
        record: initial prompts, ours or a user's own.
        compare: while training, scores mask logits [256, 256] against the ground truth.

    Returns:
        The episode.
    """
    config, fitted = prompter.config, prompter.fitted
    features, embedding = backbones.features(image), backbones.embedding(image)
    score_map = record.score_map if record.score_map is not None else prompter.score_map(image)
    score_map = on_grid(score_map, features.grid_size)
    size = (image.shape[0], image.shape[1])
    other = prompter.folder_source(folder, image_digest(image), features)
    own = PromptSource(record.prompts, score_map)
    nodes = build_nodes(own, config.graph, config.candidates.dense_gain, size, other)
    tokens = embedding_tokens(embedding, features.grid_size)
    folder_map = None if other is None else other.score_map
    view = TargetView(fitted.reference, features, score_map, fitted.segmenter_reference, tokens, folder_map)

    def decode(sets: Sequence[PointPrompts]) -> MaskPrediction:
        return backbones.segmenter.decode(embedding, sets, all_outputs=True)

    graph = config.graph
    return PromptEpisode(record.image, nodes, view, decode, graph.horizon, graph.single_points, compare)


def _same_models(trained_with: dict[str, str], used: dict[str, str]) -> bool:
    """Whether a policy fits the models in use: the same weights and settings, be it in a reduced number type, in which
    it gains as much (scripts/RESULTS.md has the numbers)."""
    return trained_with in (used, {name: full_id(value) for name, value in used.items()})


def names_of(ids: dict[str, str]) -> str:
    """The models' names in one line."""
    return " + ".join(str(value) for value in ids.values())
