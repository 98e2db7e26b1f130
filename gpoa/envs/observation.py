"""What a policy sees of a state. Training and inference build it with the same function from the same inputs."""

from __future__ import annotations

import numpy as np

from gpoa.envs.episode import PromptEpisode, PromptState
from gpoa.graph.builder import Edges, build_edges, node_features, supports
from gpoa.graph.distances import point_distances
from gpoa.graph.observation import Observation

NEIGHBOURS = 6


def observe(episode: PromptEpisode, state: PromptState) -> Observation:
    """The observation of a state; decodes its prompt set where it was not decoded yet."""
    feedback = episode.feedback(state.active)
    reading = feedback.readings[episode.nodes.output(state.active)]
    nodes, image_maps = episode.nodes, episode.view.image_maps
    maps = reading.maps.astype(np.float32)
    support = supports(nodes, feedback.output_masks)
    return Observation(
        features=node_features(nodes, support, state.active, state.last, image_maps, maps),
        support=support,
        kind=nodes.kind,
        xy=nodes.xy,
        edges=edges_of(episode),
        image_maps=image_maps,
        maps=maps,
        reference_maps=reading.reference_maps.astype(np.float32),
        scalars=reading.scalars,
        differences=feedback.differences[episode.nodes.output(state.active)],
        legal=episode.legal(state),
        remaining=1 - state.step / episode.horizon,
    )


def edges_of(episode: PromptEpisode) -> Edges:
    """The episode's edges, built once."""
    if episode.edges is None:
        episode.edges = build_edges(episode.nodes, point_distances(episode.nodes, episode.view.features), NEIGHBOURS)
    return episode.edges
