"""An agent of Stable-Baselines3 on one image, without ground truth: what it visits under a budget of decoder calls, and
which state is kept."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gpoa.envs.bubble_episode import STOP, BubbleEpisode, BubbleState, choose_state
from gpoa.envs.bubble_observation import observe_bubble
from gpoa.search.posterior import CONSTANT, WEIGHT
from gpoa.search.strategies import Optimized, Trial


class BubblePolicy(Protocol):
    """What chooses among the legal actions of a state (`gpoa.policies.sb3_policy.Sb3Policy`)."""

    def choose(self, observation: np.ndarray, legal: np.ndarray) -> int:
        """([72] float32, [17] bool) -> the number of a legal action."""
        ...


def visit_bubble(policy: BubblePolicy, episode: BubbleEpisode, budget: int) -> list[BubbleState]:
    """Lets a policy act until it stops, or the horizon or the budget is reached.

    Args:
        policy: trained, or a control.
        episode: the image.
        budget: decoder calls, at least 1, the start included; a set that was decoded before costs one, too.

    Returns:
        The states in order, the start first; the one in which the policy stopped is there once.
    """
    visited = [episode.start()]
    while not episode.ended(visited[-1]) and len(visited) < budget:
        state = visited[-1]
        action = policy.choose(observe_bubble(episode, state), episode.legal(state))
        if action == STOP:
            break
        visited.append(episode.step(state, action))
    return visited


def run_bubble_agent(policy: BubblePolicy, episode: BubbleEpisode, budget: int, margin: float) -> Optimized:
    """Lets a policy act and keeps the best of what it saw.

    Args:
        policy, episode, budget: as in `visit_bubble`; the episode keeps full logits (no `compare`).
        margin: the start is left only for a mask whose expected IoU is higher by more than this.

    Returns:
        The best trial and all trials; scores are estimates of the true IoU, as in `gpoa.search.posterior`.
    """
    visited = visit_bubble(policy, episode, budget)
    trials = [_trial(episode, state) for state in visited]
    best = choose_state(visited, margin)
    return Optimized(next(trial for trial, state in zip(trials, visited, strict=True) if state is best), trials)


def _trial(episode: BubbleEpisode, state: BubbleState) -> Trial:
    """A state in the form of every other strategy's trials."""
    assert state.look.full is not None, "an episode that is compared with the ground truth keeps no logits"
    name = "start" if state.kind is None else f"{state.step}: {state.kind.name.lower().replace('_', ' ')}"
    score = float(np.clip(CONSTANT + WEIGHT * state.look.expected_iou, 0, 1))
    return Trial(name, episode.prompts(state), state.look.full, state.look.predicted_iou, score)
