"""Agents that click without knowing the truth, and the loop that keeps the best mask that they reach.

An agent proposes clicks and judges masks. The loop judges all four masks of every decoder call and hands out the one
that the agent thinks best. It goes on clicking from the latest mask, since it often takes two clicks to leave a bad
one, but goes back to the best where a click spoiled much, and stops where nothing is proposed. Legend: `N` visited
states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gpoa.envs.click_episode import Click, ClickEpisode, ClickState, agreement, click_at
from gpoa.geometry import low_res_size
from gpoa.search.click_suggest import Suggestion, belief, sigmoid, suggest_clicks
from gpoa.search.posterior import Posterior

PROPOSALS = 4
"""Clicks that are proposed at most."""
PATIENCE = 0.5
"""A click that leaves a mask whose score is below this share of the best one's is taken back."""
MARGIN = 0.01
"""A mask is left only for one whose score is higher by more than this."""


class ClickAgent(Protocol):
    """Proposes clicks and judges masks, without the truth."""

    def propose(self, episode: ClickEpisode, state: ClickState) -> list[Suggestion]:
        """The next click, the best first; none at all is STOP."""
        ...

    def judge(self, episode: ClickEpisode, visited: Sequence[ClickState]) -> np.ndarray:
        """[N] how good the masks of visited states are, on one scale."""
        ...

    def dense(self, episode: ClickEpisode, state: ClickState) -> np.ndarray | None:
        """[256, 256] logits that go to the segmenter with the next click; None: the state's mask."""
        ...


@dataclass(frozen=True, eq=False)
class Clicked:
    """What an agent did.

    Args:
        visited: all states in order, each call's own followed by those of the decoder's other masks; the first is where
            it began.
        kept: the place of the start, then that of the state that was thought best after each call; one more where the
            agent stopped.
    """

    visited: list[ClickState]
    kept: list[int]

    @property
    def best(self) -> ClickState:
        """The state that was kept in the end."""
        return self.visited[self.kept[-1]]

    def after(self, calls: int) -> ClickState:
        """The state that was kept after so many decoder calls; the last one where the agent stopped before."""
        return self.visited[self.kept[min(calls, len(self.kept) - 1)]]


def run_agent(
    agent: ClickAgent, episode: ClickEpisode, start: ClickState, clicks: int, margin: float = MARGIN
) -> Clicked:
    """Lets an agent click.

    Args:
        agent: any.
        episode: the image.
        start: where it begins, for instance after a person's click.
        clicks: at most so many decoder calls.
        margin: the kept mask is left only for a score that is higher by more than this.
    """
    visited, kept, tried = [start, *episode.variants(start)], [0], set[tuple[int, Click]]()
    best = now = _best(agent.judge(episode, visited), 0, margin)
    for _ in range(clicks):
        found = [one.click for one in agent.propose(episode, visited[now]) if (now, one.click) not in tried]
        if not found:
            kept.append(best)
            break
        tried.add((now, found[0]))
        made = episode.click(visited[now], found[0], agent.dense(episode, visited[now]))
        latest = len(visited)
        visited += [made, *episode.variants(made)]
        scores = agent.judge(episode, visited)
        best = _best(scores, best, margin)
        now = best if scores[latest:].max() < PATIENCE * scores[best] else latest + int(scores[latest:].argmax())
        kept.append(best)
    return Clicked(visited, kept)


def first_of_each(visited: Sequence[ClickState]) -> list[ClickState]:
    """One state for each set of clicks: the call's own, without those of the decoder's other masks."""
    return list({state.clicks: state for state in reversed(visited)}.values())[::-1]


def _best(scores: np.ndarray, now: int, margin: float) -> int:
    """The place of the best score; the one that is kept now, where no other is higher by more than the margin."""
    top = int(scores.argmax())
    return top if scores[top] > scores[now] + margin else now


def expected_iou(probability: np.ndarray, episode: ClickEpisode, visited: Sequence[ClickState]) -> np.ndarray:
    """[N] the expected IoU of masks under a probability map, times the share of their own clicks that each agrees
    with."""
    masks = np.stack([state.mask for state in visited])
    own = np.array([agreement(state.clicks, state.mask, episode.size) for state in visited])
    return Posterior(probability).expected_iou(masks) * own


class PriorAgent:
    """Greedy by the prior, without learning: clicks where prior and mask differ most, with the prior as the mask
    prompt, and keeps what the prior expects most of. Without a prior SAM's four masks stand in for it."""

    def propose(self, episode: ClickEpisode, state: ClickState) -> list[Suggestion]:
        """See `ClickAgent`."""
        probability = belief(episode, state)
        return [] if probability is None else suggest_clicks(probability, state, episode.size, PROPOSALS)

    def judge(self, episode: ClickEpisode, visited: Sequence[ClickState]) -> np.ndarray:
        """See `ClickAgent`."""
        maps = [one for one in (belief(episode, state) for state in first_of_each(visited)) if one is not None]
        if not maps:
            return np.zeros(len(visited))
        return expected_iou(np.mean(maps, axis=0), episode, visited)

    def dense(self, episode: ClickEpisode, state: ClickState) -> np.ndarray | None:
        """See `ClickAgent`."""
        return episode.prior


class SamAgent:
    """SAM alone: clicks where its own masks differ, keeps the mask of which it is surest."""

    def propose(self, episode: ClickEpisode, state: ClickState) -> list[Suggestion]:
        """See `ClickAgent`."""
        probability = belief(_without_prior(episode), state)
        return [] if probability is None else suggest_clicks(probability, state, episode.size, PROPOSALS)

    def judge(self, episode: ClickEpisode, visited: Sequence[ClickState]) -> np.ndarray:
        """See `ClickAgent`."""
        return np.array([state.iou for state in visited])

    def dense(self, episode: ClickEpisode, state: ClickState) -> np.ndarray | None:
        """See `ClickAgent`."""
        return None


class RandomAgent:
    """Clicks anywhere, with the label that the prior gives the place (the mask's where there is none), and keeps the
    latest mask.

    Args:
        rng: draws the places.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def propose(self, episode: ClickEpisode, state: ClickState) -> list[Suggestion]:
        """See `ClickAgent`."""
        rows, columns = low_res_size(episode.size)
        row, column = int(self.rng.integers(rows)), int(self.rng.integers(columns))
        likely = sigmoid(state.logits if episode.prior is None else episode.prior)
        return [Suggestion(click_at(row, column, int(likely[row, column] > 0.5), episode.size), 0.0)]

    def judge(self, episode: ClickEpisode, visited: Sequence[ClickState]) -> np.ndarray:
        """See `ClickAgent`."""
        return np.array([len(state.clicks) for state in visited], dtype=np.float64)

    def dense(self, episode: ClickEpisode, state: ClickState) -> np.ndarray | None:
        """See `ClickAgent`."""
        return None


def _without_prior(episode: ClickEpisode) -> ClickEpisode:
    """The same image, of which nothing is known."""
    return ClickEpisode(episode.segmenter, episode.embedding, None, None, episode.feed_back)
