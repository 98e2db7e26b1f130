"""The learned click agent: a network proposes the click that gains most, and what it believes judges the masks.

An agent's file holds weights and sizes of the network, the names of the maps that it reads, and its history; a file
whose maps are not those of this version is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpoa.envs.click_episode import ClickEpisode, ClickState, cells_of
from gpoa.envs.click_maps import MAPS, PRIOR_MAPS, STEP, click_maps
from gpoa.errors import ModelError, one_line
from gpoa.policies.click_network import AgentKind, ClickInputs, ClickNetwork, ClickOutputs
from gpoa.runtime.checkpointing import load_checkpoint, save_checkpoint
from gpoa.search.click_agents import PROPOSALS, expected_iou, first_of_each
from gpoa.search.click_suggest import Suggestion, belief, sigmoid, suggest_clicks

FILE_KIND = "click-agent"
REMEDY = "train one with `gpoa train clicks`"


@dataclass(frozen=True)
class ClickCard:
    """What is known of an agent besides its weights.

    Args:
        stop: no click is made whose predicted gain of Dice is below this.
        training: plain values: data, models, updates, scores on validation classes.
    """

    stop: float = 0.0
    training: dict[str, Any] = field(default_factory=dict)


class LearnedAgent:
    """See `gpoa.search.click_agents.ClickAgent`.

    Args:
        network: trained.
        card: when it stops, and its history.
    """

    def __init__(self, network: ClickNetwork, card: ClickCard | None = None) -> None:
        self.network, self.card = network.eval(), card or ClickCard()
        self._last: dict[int, tuple[ClickState, np.ndarray, np.ndarray]] = {}

    def propose(self, episode: ClickEpisode, state: ClickState) -> list[Suggestion]:
        """The centres of regions where what it believes, or the prior, differs from the mask, by predicted gain."""
        gains, probability = self._read(episode, state)
        found = suggest_clicks(probability, state, episode.size, PROPOSALS)
        other = belief(episode, state)
        if other is not None:
            known = {one.click for one in found}
            found += [one for one in suggest_clicks(other, state, episode.size, 3) if one.click not in known]
        if not found:
            return []
        clicks = tuple(one.click for one in found)
        rows, columns = cells_of(clicks, episode.size)
        values = gains[[click.label for click in clicks], rows // STEP, columns // STEP]
        order = np.argsort(-values, kind="stable")
        return [Suggestion(clicks[place], float(values[place])) for place in order if values[place] >= self.card.stop]

    def judge(self, episode: ClickEpisode, visited: Sequence[ClickState]) -> np.ndarray:
        """The expected IoU under the mean of what it believed at all visited states."""
        maps = [self._read(episode, state)[1] for state in first_of_each(visited)]
        return expected_iou(np.mean(maps, axis=0), episode, visited)

    def dense(self, episode: ClickEpisode, state: ClickState) -> np.ndarray | None:
        """See `gpoa.search.click_agents.ClickAgent`."""
        return episode.prior

    def _read(self, episode: ClickEpisode, state: ClickState) -> tuple[np.ndarray, np.ndarray]:
        """(gains [2, 64, 64], belief [256, 256] in [0, 1]) of a state; the latest ones are kept."""
        known = self._last.get(id(state))
        if known is None or known[0] is not state:
            with torch.inference_mode():
                said: ClickOutputs = self.network(to_inputs([inputs_of(episode, state)], [episode]))
            known = state, said.gains[0].numpy(), sigmoid(said.belief[0].numpy()).astype(np.float32)
            if len(self._last) > 32:
                self._last.clear()
            self._last[id(state)] = known
        return known[1], known[2]


def inputs_of(episode: ClickEpisode, state: ClickState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(maps [22, 64, 64], prior [256, 256], mask [256, 256]) of a state, float32."""
    prior = np.zeros_like(state.logits) if episode.prior is None else episode.prior
    return click_maps(episode, state), prior, state.logits


def to_inputs(
    states: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], episodes: Sequence[ClickEpisode]
) -> ClickInputs:
    """States as one batch; the embedding of each is its episode's."""
    maps, prior, mask = (torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*states, strict=True))
    embedding = torch.cat([episode.embedding.features.float().cpu() for episode in episodes])
    return ClickInputs(maps, prior, mask, embedding)


def make_network(kind: AgentKind, width: int = 32) -> ClickNetwork:
    """An untrained network that reads this version's maps."""
    return ClickNetwork(kind, len(MAPS), PRIOR_MAPS, width)


def save_agent(path: Path, network: ClickNetwork, card: ClickCard) -> None:
    """Writes an agent's file, weights in float16."""
    weights = {name: value.detach().half() for name, value in network.state_dict().items()}
    sizes = {"kind": network.kind, "width": network.width}
    state = {"kind": FILE_KIND, "sizes": sizes, "maps": list(MAPS), "weights": weights}
    save_checkpoint(path, {**state, "card": asdict(card)})


def load_agent(path: Path) -> LearnedAgent:
    """Reads an agent's file.

    Raises:
        ModelError: it is missing, damaged, something else, or reads other maps than this version makes.
    """
    state = load_checkpoint(path, REMEDY)
    if state.get("kind") != FILE_KIND:
        raise ModelError(f"{path}: is not a click agent; {REMEDY}")
    if list(state["maps"]) != list(MAPS):
        raise ModelError(f"{path}: was trained on other maps than this version makes; {REMEDY}")
    try:
        network = make_network(**state["sizes"])
        network.load_state_dict({name: value.float() for name, value in state["weights"].items()})
    except (RuntimeError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: damaged ({one_line(error)[:80]}); {REMEDY}") from error
    return LearnedAgent(network, ClickCard(**state["card"]))
