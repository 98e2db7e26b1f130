"""Trains a click agent: the gains of clicks are decoded and regressed at states that the agent itself reaches.

Transitions are deterministic and a click costs one decoder call, so at a visited state several clicks are decoded and
all their gains learned at once, where a policy gradient learns from the one that was sampled (DAgger: Ross et al. 2011;
dense supervision by decoding the legal actions: DESIGN 5b). Beside the gains the network learns, at every cell, whether
it is the object; that judges the masks.

    scenes --visit--> Visit (maps, truth, clicks and their gains) --fit--> network --visit--> ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from gpoa.config.clicks import ClickTrainConfig
from gpoa.envs.click_episode import Click, ClickEpisode, ClickState, cells_of, click_at
from gpoa.envs.click_maps import MAPS, PRIOR_MAPS, STEP
from gpoa.envs.click_oracle import oracle_click
from gpoa.envs.click_scene import ClickScene
from gpoa.envs.rewards import dice
from gpoa.geometry import low_res_size
from gpoa.policies.click_network import ClickInputs, ClickNetwork
from gpoa.search.click_agents import run_agent
from gpoa.search.click_learned import LearnedAgent, inputs_of
from gpoa.search.click_suggest import belief, suggest_clicks
from gpoa.segmenters.base import Segmenter

MAP_INSIDE = MAPS.index("inside the image")
GAIN_SCALE = 10.0
"""Gains of Dice are multiplied by this in the loss: most are a few hundredths."""


class Visit(NamedTuple):
    """A visited state.

    Args:
        scene: place of its scene.
        maps: [22, 64, 64] float16.
        prior: [256, 256] float16 log odds.
        mask: [256, 256] float16 logits.
        wanted: [256, 256] bool.
        labels, rows, columns: [K] of the decoded clicks, on the 64 x 64 grid.
        gains: [K] float32, the change of Dice that each made.
    """

    scene: int
    maps: np.ndarray
    prior: np.ndarray
    mask: np.ndarray
    wanted: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    gains: np.ndarray


class ClickTraining:
    """One training run.

    Args:
        network: trained in place.
        scenes: to train on.
        segmenter: frozen.
        config: see its class.
    """

    def __init__(
        self, network: ClickNetwork, scenes: Sequence[ClickScene], segmenter: Segmenter, config: ClickTrainConfig
    ) -> None:
        self.network, self.scenes, self.segmenter, self.config = network, list(scenes), segmenter, config
        self.visits: list[Visit] = []
        self.rng = np.random.default_rng(config.seed)
        torch.manual_seed(config.seed)

    def run(self) -> Iterator[dict[str, float]]:
        """Trains; yields the scalars of a round after it."""
        for number in range(self.config.rounds):
            before = len(self.visits)
            for place in self.rng.permutation(len(self.scenes)):
                self.visits += self.visit(int(place), learned=number > 0)
            fresh = self.visits[before:]
            losses = self.fit()
            gains = np.concatenate([one.gains for one in fresh])
            yield {
                "rollout/states": float(len(fresh)),
                "rollout/mean_gain": float(gains.mean()),
                "rollout/best_gain": float(np.mean([one.gains.max() for one in fresh])),
                **losses,
            }

    def visit(self, place: int, learned: bool) -> list[Visit]:
        """Plays one episode on a scene, and decodes several clicks at each of its states.

        Args:
            place: of the scene.
            learned: the agent chooses; else chance and greed do.
        """
        scene = self.scenes[place]
        episode = ClickEpisode(self.segmenter, scene.embedding, scene.prior)
        state = episode.begin()
        first = oracle_click(scene.wanted, state.mask, episode.size)
        if first is None:
            return []
        state = episode.click(state, first)
        agent, made = LearnedAgent(self.network), []
        for _ in range(self.config.steps):
            clicks = self._candidates(agent if learned else None, episode, state, scene)
            states = episode.click_many(state, clicks)
            now = dice(state.mask, scene.wanted)
            gains = np.array([dice(one.mask, scene.wanted) - now for one in states], dtype=np.float32)
            made.append(_visit(place, scene, episode, state, clicks, gains))
            draws = not learned or self.rng.random() < self.config.random
            # The agent's own choice is the first candidate; by chance any other, better ones more often.
            weights = np.exp(4 * gains / max(float(np.abs(gains).max()), 1e-3))
            chosen = int(self.rng.choice(len(clicks), p=weights / weights.sum())) if draws else 0
            state = states[chosen]
        return made

    def _candidates(
        self, agent: LearnedAgent | None, episode: ClickEpisode, state: ClickState, scene: ClickScene
    ) -> list[Click]:
        """Clicks to decode: the agent's, the prior's, the oracle's, and random ones."""
        found: list[Click] = []
        if agent is not None:
            found += [one.click for one in agent.propose(episode, state)[:2]]
        likely = belief(episode, state)
        if likely is not None:
            found += [one.click for one in suggest_clicks(likely, state, episode.size, 3)]
        best = oracle_click(scene.wanted, state.mask, episode.size)
        found += [] if best is None else [best]
        rows, columns = low_res_size(episode.size)
        found = list(dict.fromkeys(found))[: self.config.candidates - 1]
        while len(found) < self.config.candidates:
            row, column = int(self.rng.integers(rows)), int(self.rng.integers(columns))
            right = int(scene.wanted[row, column])
            found.append(click_at(row, column, right if self.rng.random() < 0.7 else 1 - right, episode.size))
        return found

    def fit(self) -> dict[str, float]:
        """One round of updates on all visits so far."""
        config = self.config
        optimiser = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimiser, max(config.updates, 1), config.learning_rate / 10
        )
        self.network.train()
        sums = np.zeros(2)
        for _ in range(config.updates):
            losses = self._losses([self.visits[i] for i in self.rng.integers(len(self.visits), size=config.batch)])
            loss = losses[0] + config.gain_weight * losses[1]
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            sums += [float(one.detach()) for one in losses]
        self.network.eval()
        belief_loss, gain_loss = (sums / max(config.updates, 1)).tolist()
        return {"train/belief_loss": belief_loss, "train/gain_loss": gain_loss}

    def _losses(self, visits: Sequence[Visit]) -> tuple[Tensor, Tensor]:
        """(of the belief, of the gains) of some visits."""
        inputs = self._batch(visits)
        said = self.network(inputs)
        wanted = torch.from_numpy(np.stack([one.wanted for one in visits]).astype(np.float32))
        inside = inputs.maps[:, MAP_INSIDE].repeat_interleave(STEP, 1).repeat_interleave(STEP, 2)
        each = binary_cross_entropy_with_logits(said.belief, wanted, reduction="none")
        p = torch.sigmoid(said.belief) * inside
        shared, total = (p * wanted).sum((1, 2)), (p + wanted).sum((1, 2))
        overlap = 1 - (2 * shared + 1) / (total + 1)
        belief_loss = (each * inside).sum() / inside.sum().clamp_min(1) + 0.5 * overlap.mean()
        number = torch.from_numpy(np.repeat(np.arange(len(visits)), [len(one.gains) for one in visits]))
        labels, rows, columns, gains = (
            torch.from_numpy(np.concatenate([getattr(one, name) for one in visits]))
            for name in ("labels", "rows", "columns", "gains")
        )
        predicted = said.gains[number, labels, rows, columns]
        return belief_loss, smooth_l1_loss(GAIN_SCALE * predicted, GAIN_SCALE * gains)

    def _batch(self, visits: Sequence[Visit]) -> ClickInputs:
        """Visits as one batch; a share of them without the prior."""
        maps, prior, mask = (
            torch.from_numpy(np.stack([getattr(one, name) for one in visits]).astype(np.float32))
            for name in ("maps", "prior", "mask")
        )
        unknown = torch.from_numpy(self.rng.random(len(visits)) < self.config.no_prior)
        for channel in PRIOR_MAPS:
            maps[unknown, channel] = 0
        prior[unknown] = 0
        embedding = None
        if self.network.kind != "relational":
            embedding = torch.cat([self.scenes[one.scene].embedding.features.float() for one in visits])
        return ClickInputs(maps, prior, mask, embedding)


def mean_gain(
    agent: LearnedAgent, scenes: Sequence[ClickScene], segmenter: Segmenter, clicks: int = 4, prior: bool = True
) -> float:
    """The mean change of Dice that an agent makes after the oracle's first click, for validation.

    Args:
        agent: judged.
        scenes: labelled; the truth makes the first click and the score.
        segmenter: frozen.
        clicks: after the first.
        prior: whether it sees the prior.
    """
    gains = []
    for scene in scenes:
        episode = ClickEpisode(segmenter, scene.embedding, scene.prior if prior else None)
        first = oracle_click(scene.wanted, episode.begin().mask, episode.size)
        if first is not None:
            start = episode.click(episode.begin(), first)
            best = run_agent(agent, episode, start, clicks).best
            gains.append(dice(best.mask, scene.wanted) - dice(start.mask, scene.wanted))
    return float(np.mean(gains))


def _visit(
    place: int, scene: ClickScene, episode: ClickEpisode, state: ClickState, clicks: list[Click], gains: np.ndarray
) -> Visit:
    """What is learned from a state."""
    maps, prior, mask = (part.astype(np.float16) for part in inputs_of(episode, state))
    rows, columns = cells_of(tuple(clicks), episode.size)
    labels = np.array([click.label for click in clicks], dtype=np.int64)
    return Visit(place, maps, prior, mask, scene.wanted, labels, rows // STEP, columns // STEP, gains)
