"""One update after another: play, learn the policy, learn the quality head, now and then look at held-out classes.

A run's folder holds `config.json`, `metrics.jsonl`, `events/` (TensorBoard), `last.pt` (everything a resumed run needs)
and `policy.pt` (the best policy by held-out IoU). On a CPU, a run with one seed always gives the same numbers, resumed
or not.

Legend: `B` episodes, `K` rollouts of each, `R` = B * K, `M` masks of an image that the quality head learns from.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gpoa.config import TrainConfig
from gpoa.envs.episode import PromptEpisode, PromptState
from gpoa.envs.rewards import POTENTIALS
from gpoa.errors import ConfigError
from gpoa.graph.nodes import OUTPUTS
from gpoa.policies.batch import collate, stack_maps
from gpoa.policies.graph_policy import GraphPolicy
from gpoa.policies.quality import quality_loss
from gpoa.rl import losses
from gpoa.rl.evaluate import Evaluation, evaluate_policy
from gpoa.rl.rollout import Rollouts, epsilon_greedy, play, prefetch, sample_actions
from gpoa.runtime.checkpointing import load_checkpoint, restore_rng, rng_state, save_checkpoint
from gpoa.search.agent import fixed_sets
from gpoa.search.keep_best import mask_parts

logger = logging.getLogger(__name__)

MAX_GRAD_NORM = 1.0
FLOOR = 0.1
"""Learning rates and epsilon fall to this share."""


class EpisodeSource(Protocol):
    """Where episodes come from."""

    def sample(self, rng: np.random.Generator) -> PromptEpisode:
        """One training episode, with ground truth for its reward."""
        ...

    def held_out(self) -> list[tuple[str, PromptEpisode]]:
        """(class, episode) of the held-out classes, always the same."""
        ...


class Update(NamedTuple):
    """What one update is reported with."""

    scalars: dict[str, float]
    seconds: float


class Trainer:
    """A training run.

    Args:
        policy: the networks.
        source: the episodes.
        config: how to train.
        folder: the run's folder.
        save_policy: writes the policy with its card; gets the path and the evaluation.
    """

    def __init__(
        self,
        policy: GraphPolicy,
        source: EpisodeSource,
        config: TrainConfig,
        folder: Path,
        save_policy: Callable[[Path, Evaluation], None],
    ) -> None:
        self.policy, self.source, self.config, self.folder = policy, source, config, folder
        self.save_policy = save_policy
        self.update_count, self.best = 0, -math.inf
        self.rng = np.random.default_rng(config.seed)
        self.target = GraphPolicy(policy.config).actor
        self.target.load_state_dict(policy.actor.state_dict())
        self.actor_optimizer = torch.optim.Adam(policy.actor.parameters(), lr=config.learning_rate, eps=1e-5)
        self.quality_optimizer = torch.optim.AdamW(
            policy.quality.parameters(), lr=config.quality_rate, weight_decay=config.quality_decay
        )
        self.executor = ThreadPoolExecutor(config.workers) if config.workers > 1 else None

    def run(self) -> Iterator[Update]:
        """Updates until the configured number is reached; yields after each."""
        if self.update_count == 0:
            yield Update(self._evaluate(), 0.0)
        while self.update_count < self.config.updates:
            began = time.perf_counter()
            scalars = self.update()
            if self.update_count % self.config.eval_every == 0 or self.update_count == self.config.updates:
                scalars |= self._evaluate()
                self.save()
            yield Update(scalars, time.perf_counter() - began)

    def update(self) -> dict[str, float]:
        """Plays B episodes K times each, and learns from them."""
        config = self.config
        self._set_rates()
        generator = torch.Generator().manual_seed(int(self.rng.integers(2**62)))
        episodes = [self.source.sample(self.rng) for _ in range(config.episodes)]
        repeated = [episode for episode in episodes for _ in range(config.rollouts)]
        self.policy.eval()
        choose = sample_actions(generator)
        if config.algorithm == "dqn":
            choose = epsilon_greedy(max(FLOOR, 1 - self._progress()) * config.epsilon, generator)
        potential = POTENTIALS[config.reward]
        rollouts = play(self.policy.actor, repeated, potential, choose, config.step_cost, self.executor)
        explored = self._explore(episodes)
        self.policy.train()
        scalars = {"dqn": self._learn_dqn, "ppo": self._learn_ppo, "rloo": self._learn_rloo}[config.algorithm](rollouts)
        scalars |= self._learn_quality(episodes, rollouts, explored)
        self.policy.eval()
        self.update_count += 1
        returns = rollouts.rewards.sum(dim=1)
        scalars |= {
            "rollout/return": float(returns.mean()),
            "rollout/improved": float((returns > 0.01).float().mean()),
            "rollout/steps": float(rollouts.alive.sum(dim=1).mean()),
        }
        return scalars

    def _explore(self, episodes: list[PromptEpisode]) -> list[list[PromptState]]:
        """The first two sets of the fixed list and random other ones, for the quality head: what it will have to choose
        from."""
        explored = []
        for episode in episodes:
            states = [state for _, state in fixed_sets(episode)]
            picked = 2 + self.rng.permutation(max(len(states) - 2, 0))[: max(self.config.explore - 1, 0)]
            explored.append(states[:2] + [states[place] for place in picked])
        pairs = [(episode, state) for episode, states in zip(episodes, explored, strict=True) for state in states]
        prefetch(self.executor, [episode for episode, _ in pairs], [state for _, state in pairs])
        return explored

    def _learn_rloo(self, rollouts: Rollouts) -> dict[str, float]:
        """One step of REINFORCE with the leave-one-out baseline."""
        config, batch = self.config, collate(rollouts.observations)
        targets = losses.rloo_targets(rollouts, config.rollouts, config.gamma)
        output = self.policy.actor(batch)
        loss = losses.rloo_loss(output, batch.legal, rollouts.column, targets, config.ent_coef)
        value = nn.functional.mse_loss(output.value, targets.returns)
        _step(self.actor_optimizer, loss + config.vf_coef * value, self.policy.actor)
        entropy = losses.masked_entropy(output.logits, batch.legal).mean()
        return {"train/policy_loss": float(loss.detach()), "train/entropy": float(entropy.detach())}

    def _learn_ppo(self, rollouts: Rollouts) -> dict[str, float]:
        """Several passes with the clipped surrogate."""
        config, batch = self.config, collate(rollouts.observations)
        targets = losses.gae_targets(rollouts, config.gamma, config.gae_lambda)
        for _ in range(config.epochs):
            output = self.policy.actor(batch)
            loss = losses.ppo_loss(
                output,
                batch.legal,
                rollouts.column,
                rollouts.log_prob,
                targets,
                config.clip_range,
                config.ent_coef,
                config.vf_coef,
            )
            _step(self.actor_optimizer, loss, self.policy.actor)
        entropy = losses.masked_entropy(output.logits, batch.legal).mean()
        return {"train/policy_loss": float(loss.detach()), "train/entropy": float(entropy.detach())}

    def _learn_dqn(self, rollouts: Rollouts) -> dict[str, float]:
        """Several passes of double Q-learning on what was just played; the target network follows slowly."""
        config, batch = self.config, collate(rollouts.observations)
        for _ in range(config.epochs):
            output = self.policy.actor(batch)
            with torch.no_grad():
                valued = self.target(batch).logits
            targets = losses.dqn_targets(rollouts, output.logits.detach(), valued, config.gamma)
            loss = losses.dqn_loss(output.logits, rollouts.column, targets)
            _step(self.actor_optimizer, loss, self.policy.actor)
        for mine, theirs in zip(self.target.parameters(), self.policy.actor.parameters(), strict=True):
            mine.data.lerp_(theirs.data, config.target_rate)
        return {"train/policy_loss": float(loss.detach())}

    def _learn_quality(
        self, episodes: list[PromptEpisode], rollouts: Rollouts, explored: list[list[PromptState]]
    ) -> dict[str, float]:
        """The quality head learns from masks of the visited sets, all four outputs of each."""
        parts, truth = [], []
        for place, episode in enumerate(episodes):
            rows = [
                *rollouts.visited[place * self.config.rollouts : (place + 1) * self.config.rollouts],
                explored[place],
            ]
            for active in self._pick_masks(episode, [state.active for row in rows for state in row]):
                parts.append(mask_parts(episode, active))
                truth.append(episode.feedback(active).truth_of(episode.nodes.output(active)))
        batch = _mirror(stack_maps(parts), self.rng)
        wanted = torch.tensor(np.array(truth)).view(len(episodes), -1)
        if self.update_count == 0:
            self.policy.quality.set_scale(batch)
        quality = self.policy.quality
        absolute = sum(quality_loss(member(batch).view(wanted.shape), wanted) for member in quality.absolute)
        _step(self.quality_optimizer, absolute, quality)
        differences = batch.differences.view(*wanted.shape, -1)
        with torch.no_grad():
            expected = quality.relative(batch.differences).view(wanted.shape)
            error = (expected - (wanted - wanted[:, :1])).abs().mean()  # before it learns from these masks
            quality.relative.learn(differences, wanted)
        return {
            "train/quality_loss": float(absolute.detach()) / len(quality.absolute),
            "train/gain_error": float(error),
        }

    def _pick_masks(self, episode: PromptEpisode, visited: list[np.ndarray]) -> list[np.ndarray]:
        """M masks of one image, the start first; some twice where fewer were seen."""
        known: dict[bytes, np.ndarray] = {}
        for active in visited:
            for output in range(OUTPUTS):
                choice = episode.nodes.with_output(active, output)
                known.setdefault(choice.tobytes(), choice)
        start = episode.nodes.start
        others = [choice for key, choice in known.items() if key != start.tobytes()]
        wanted = self.config.quality_masks - 1
        picked = self.rng.choice(len(others), wanted, replace=len(others) < wanted)
        return [start, *(others[index] for index in picked)]

    def _evaluate(self) -> dict[str, float]:
        """Scores on the held-out classes; the best policy is written."""
        budget, margin = self.config.eval_budget, self.config.margin
        result = evaluate_policy(self.policy, self.source.held_out(), "agent-search", budget, margin)
        fixed = evaluate_policy(self.policy, self.source.held_out(), "quality", budget, margin)
        if max(result.final, fixed.final) > self.best:
            self.best = max(result.final, fixed.final)
            self.save_policy(self.folder / "policy.pt", result)
        return result.scalars() | {"eval/fixed_final": fixed.final, "eval/fixed_worse": fixed.worse}

    def _progress(self) -> float:
        return self.update_count / self.config.updates

    def _set_rates(self) -> None:
        """Cosine decay of the learning rates to a tenth."""
        share = FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * self._progress())) / 2
        for optimizer, rate in (
            (self.actor_optimizer, self.config.learning_rate),
            (self.quality_optimizer, self.config.quality_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * share

    def save(self) -> None:
        """Writes `last.pt`: all that the next update depends on."""
        save_checkpoint(self.folder / "last.pt", self.state())

    def state(self) -> dict[str, Any]:
        """All that the next update depends on."""
        return {
            "kind": "gpoa-training",
            "config": asdict(self.config),
            "update": self.update_count,
            "best": self.best,
            "policy": self.policy.state_dict(),
            "target": self.target.state_dict(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "quality_optimizer": self.quality_optimizer.state_dict(),
            "rng": rng_state(self.rng),
        }

    def resume(self, path: Path) -> None:
        """Goes on where a run stopped.

        Args:
            path: a `last.pt`.

        Raises:
            ModelError: the file cannot be used.
            ConfigError: the run was started with other values.
        """
        state = load_checkpoint(path)
        mine = {key: value for key, value in asdict(self.config).items() if key != "workers"}
        theirs = {key: value for key, value in state.get("config", {}).items() if key != "workers"}
        changed = sorted(key for key in mine if mine[key] != theirs.get(key))
        if changed:
            listed = ", ".join(f"{key} was {theirs.get(key)}, now {mine[key]}" for key in changed[:4])
            raise ConfigError(
                f"{path}: the run was started with other values ({listed}); start a new one, or use those"
            )
        self.update_count, self.best = state["update"], state["best"]
        self.policy.load_state_dict(state["policy"])
        self.target.load_state_dict(state["target"])
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.quality_optimizer.load_state_dict(state["quality_optimizer"])
        restore_rng(self.rng, state["rng"])


def _step(optimizer: torch.optim.Optimizer, loss: Tensor, module: nn.Module) -> None:
    """One step with clipped gradients."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), MAX_GRAD_NORM)
    optimizer.step()


def _mirror(batch: Any, rng: np.random.Generator) -> Any:
    """Mirrors the maps of the target and of the reference, each by chance: what is where does not matter."""
    target, reference = batch.target, batch.reference
    for axis in (-1, -2):
        target = target.flip(axis) if rng.random() < 0.5 else target
        reference = reference.flip(axis) if rng.random() < 0.5 else reference
    return batch._replace(target=target, reference=reference)
