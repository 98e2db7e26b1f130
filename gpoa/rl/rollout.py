"""Playing many episodes at once.

Legend: `R` rollouts (B episodes times K), `T` steps of the longest one, `A` actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpoa.envs.episode import PromptEpisode, PromptState
from gpoa.envs.observation import observe
from gpoa.envs.rewards import Potential
from gpoa.graph.observation import Observation
from gpoa.policies.actor_critic import PolicyOutput
from gpoa.policies.batch import GraphBatch, collate

Policy = Callable[[GraphBatch], PolicyOutput]
Choose = Callable[[Tensor, Tensor], Tensor]
"""(logits [R, A], legal [R, A]) -> column of the chosen action [R]."""


@dataclass(frozen=True, eq=False)
class Rollouts:
    """What was seen and done.

    Args:
        observations: one for each step that was taken, in the order of `row` and `step`.
        row, step: [S] int64, the rollout and the step of each observation.
        column: [S] int64 the chosen column of the logits of that step's batch, STOP being -1.
        log_prob: [S] of the chosen actions under the policy that played.
        rewards: [R, T] float32, 0 after the end.
        values: [R, T] expected returns of the visited states.
        bootstrap: [R, T] expected return of the state after the step; 0 where the episode terminated there.
        alive: [R, T] 1 for steps that were taken.
        visited: for each rollout the active sets that it saw, the start first.
    """

    observations: list[Observation]
    row: Tensor
    step: Tensor
    column: Tensor
    log_prob: Tensor
    rewards: Tensor
    values: Tensor
    bootstrap: Tensor
    alive: Tensor
    visited: list[list[PromptState]]


def sample_actions(generator: torch.Generator) -> Choose:
    """Draws from the policy."""
    return lambda logits, legal: torch.multinomial(torch.softmax(logits, dim=1), 1, generator=generator)[:, 0]


def best_actions(logits: Tensor, legal: Tensor) -> Tensor:
    """The most probable legal action."""
    return logits.argmax(dim=1)


def epsilon_greedy(epsilon: float, generator: torch.Generator) -> Choose:
    """The best action, or with probability epsilon any legal one."""

    def choose(logits: Tensor, legal: Tensor) -> Tensor:
        anything = torch.multinomial(legal.float(), 1, generator=generator)[:, 0]
        explore = torch.rand(len(logits), generator=generator) < epsilon
        return torch.where(explore, anything, logits.argmax(dim=1))

    return choose


def prefetch(executor: Executor | None, episodes: Sequence[PromptEpisode], states: Sequence[PromptState]) -> None:
    """Decodes every set that is not known yet: those of one image in one request, several images at once where there is
    an executor.

    Args:
        executor: threads, or None.
        episodes: [R] the episode of each state; one may occur several times.
        states: [R].
    """
    wanted: dict[int, tuple[PromptEpisode, list[np.ndarray]]] = {}
    for episode, state in zip(episodes, states, strict=True):
        if not episode.knows(state.active):
            wanted.setdefault(id(episode), (episode, []))[1].append(state.active)
    if executor is None:
        for episode, sets in wanted.values():
            episode.decode_all(sets)
        return
    list(executor.map(lambda pair: pair[0].decode_all(pair[1]), wanted.values()))


def play(
    policy: Policy,
    episodes: Sequence[PromptEpisode],
    potential: Potential | None,
    choose: Choose,
    step_cost: float = 0.0,
    executor: Executor | None = None,
) -> Rollouts:
    """Plays every episode from its start to its end.

    Args:
        policy: the network.
        episodes: [R]; an episode that occurs K times is rolled out K times.
        potential: rewards are its differences; None (outside of training) gives none.
        choose: how an action is picked.
        step_cost: subtracted for every toggle.
        executor: threads for the segmenter.

    Returns:
        The rollouts.
    """
    states = [episode.start() for episode in episodes]
    horizon = max(episode.horizon for episode in episodes)
    record = _Recorder(len(episodes), horizon + 1)
    prefetch(executor, episodes, states)
    worth = [potential(episode, state) if potential else 0.0 for episode, state in zip(episodes, states, strict=True)]
    visited = [[state] for state in states]
    running = list(range(len(episodes)))
    while running:
        seen = [observe(episodes[row], states[row]) for row in running]
        batch = collate(seen)
        with torch.no_grad():
            output = policy(batch)
        column = choose(output.logits, batch.legal)
        log_prob = torch.log_softmax(output.logits, dim=1)[torch.arange(len(running)), column]
        actions = [
            int(c) if int(c) < batch.legal.shape[1] - 1 else episodes[row].stop
            for row, c in zip(running, column, strict=True)
        ]
        for row, action in zip(running, actions, strict=True):
            states[row] = episodes[row].step(states[row], action)
        prefetch(executor, [episodes[row] for row in running], [states[row] for row in running])
        for place, (row, action) in enumerate(zip(running, actions, strict=True)):
            stopped = action == episodes[row].stop
            now = potential(episodes[row], states[row]) if potential else 0.0
            reward = now - worth[row] - (0.0 if stopped else step_cost)
            worth[row] = now
            kept = -1 if stopped else int(column[place])
            record.add(row, seen[place], kept, log_prob[place], output.value[place], reward)
            if not stopped:
                visited[row].append(states[row])
        running = [row for row in running if not episodes[row].ended(states[row])]
    return record.finish(states, visited)


class _Recorder:
    """Collects steps and lays them out by rollout and step."""

    def __init__(self, rows: int, steps: int) -> None:
        self.rewards, self.values, self.alive = (torch.zeros(rows, steps) for _ in range(3))
        self.taken = [0] * rows
        self.observations: list[Observation] = []
        self.row: list[int] = []
        self.step: list[int] = []
        self.column: list[int] = []
        self.log_prob: list[Tensor] = []

    def add(self, row: int, seen: Observation, column: int, log_prob: Tensor, value: Tensor, reward: float) -> None:
        """One step of one rollout."""
        step = self.taken[row]
        self.taken[row] += 1
        self.rewards[row, step], self.values[row, step], self.alive[row, step] = reward, value, 1
        self.observations.append(seen)
        self.row.append(row)
        self.step.append(step)
        self.column.append(column)
        self.log_prob.append(log_prob)

    def finish(self, states: Sequence[PromptState], visited: list[list[PromptState]]) -> Rollouts:
        """The rollouts. The horizon is part of what a policy sees, so reaching it terminates an episode like STOP
        does."""
        longest = max(self.taken)
        values = self.values[:, :longest]
        following = torch.cat([values[:, 1:], torch.zeros(len(values), 1)], dim=1)
        return Rollouts(
            observations=self.observations,
            row=torch.tensor(self.row),
            step=torch.tensor(self.step),
            column=torch.tensor(self.column),
            log_prob=torch.stack(self.log_prob),
            rewards=self.rewards[:, :longest],
            values=values,
            bootstrap=following,
            alive=self.alive[:, :longest],
            visited=visited,
        )
