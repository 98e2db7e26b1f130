"""Dice after each click, of several agents from the same first click: who helps, and who spoils.

Every image begins with the oracle's first click and SAM's own choice among its masks; from there each agent has as many
decoder calls as the others. The truth makes the first click, the score, and the clicks of the row `oracle`; no agent
gets it. Scores are taken at the original size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gpoa.envs.click_episode import ClickEpisode, ClickState
from gpoa.envs.click_oracle import oracle_click
from gpoa.envs.click_scene import ClickScene
from gpoa.envs.rewards import dice
from gpoa.evaluation.clicks import mean_clicks
from gpoa.search.click_agents import ClickAgent, run_agent
from gpoa.segmenters.base import Segmenter, upscale_logits

NOC = (0.85, 0.9)
"""IoUs whose number of clicks is reported."""


def click_curves(
    scenes: Iterable[ClickScene], segmenter: Segmenter, agents: Mapping[str, ClickAgent], clicks: int = 5
) -> Iterable[dict[str, Any]]:
    """Lets all agents click on all scenes.

    Args:
        scenes: labelled images.
        segmenter: frozen.
        agents: by name; `oracle` is added. A name that ends in `, no prior` is not shown the prior map.
        clicks: in all, the first included.

    Yields:
        For each scene and agent: class, place of the image, method, and dice, `clicks` values.
    """
    for place, scene in enumerate(scenes):
        known, blind = (ClickEpisode(segmenter, scene.embedding, prior) for prior in (scene.prior, None))
        first = oracle_click(scene.wanted, known.begin().mask, known.size)
        if first is None:
            continue
        start = known.click(known.begin(), first)
        curves = {"oracle": _oracle(known, start, scene, clicks)}
        for name, agent in agents.items():
            episode = blind if name.endswith(", no prior") else known
            result = run_agent(agent, episode, start, clicks - 1)
            curves[name] = [result.after(calls) for calls in range(clicks)]
        scores: dict[int, float] = {}
        for name, states in curves.items():
            for state in states:
                if id(state) not in scores:
                    scores[id(state)] = _dice(state, scene)
            row = {"class": scene.group, "image": place, "method": name}
            yield row | {"dice": [scores[id(state)] for state in states]}


def summarize(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Means over the images of a class, then over classes, for each agent.

    Args:
        rows: from `click_curves`.
        seed: of the bootstrap over classes.

    Returns:
        For each agent: method, dice (one a click), gain from the first to the last click with low and high (95 %,
        bootstrap over classes), worse (share of images whose Dice fell by more than .02), noc (number of clicks to an
        IoU, for each of `NOC`).
    """
    table = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        groups = dict.fromkeys(row["class"] for row in own)
        curves = np.array([np.mean([row["dice"] for row in own if row["class"] == one], axis=0) for one in groups])
        gains = curves[:, -1] - curves[:, 0]
        drawn = np.random.default_rng(seed).integers(len(gains), size=(2000, len(gains)))
        low, high = np.percentile(gains[drawn].mean(axis=1), [2.5, 97.5])
        fell = np.mean([row["dice"][-1] < row["dice"][0] - 0.02 for row in own])
        ious = [[value / (2 - value) for value in row["dice"]] for row in own]
        noc = [mean_clicks(ious, target, len(own[0]["dice"])).mean for target in NOC]
        scores = {"method": name, "dice": curves.mean(axis=0).tolist(), "gain": float(gains.mean())}
        table.append(scores | {"low": float(low), "high": float(high), "worse": float(fell), "noc": noc})
    return table


def _oracle(episode: ClickEpisode, start: ClickState, scene: ClickScene, clicks: int) -> list[ClickState]:
    """The states of the oracle's clicks; a mask without error stays."""
    states = [start]
    for _ in range(clicks - 1):
        click = oracle_click(scene.wanted, states[-1].mask, episode.size)
        states.append(states[-1] if click is None else episode.click(states[-1], click))
    return states


def _dice(state: ClickState, scene: ClickScene) -> float:
    """At the original size."""
    mask = upscale_logits(state.logits, scene.embedding.input_size, scene.embedding.original_size) > 0
    return dice(mask, scene.truth)
