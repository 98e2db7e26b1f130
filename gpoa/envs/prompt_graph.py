"""The decision process behind Gymnasium's interface, for agents of other libraries.

Our own trainer plays `PromptEpisode`s directly, many at once (`gpoa.rl.rollout`); both see the same observations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gpoa.envs.episode import PromptEpisode
from gpoa.envs.observation import observe
from gpoa.envs.rendering import check_render_mode, draw_state
from gpoa.envs.rewards import POTENTIALS, Potential
from gpoa.errors import ConfigError
from gpoa.graph.nodes import NodeKind
from gpoa.graph.schema import NODE_FEATURES, NODE_TYPES
from gpoa.matching.mask_difference import DIFFERENCES
from gpoa.matching.relational_maps import IMAGE_MAPS, MASK_MAPS, REFERENCE_MAPS, SCALARS

MAX_NODES = 160
MAX_REFERENCES = 4
COPIED = ("image_maps", "maps", "scalars", "differences")

EpisodeDraw = Callable[[np.random.Generator], PromptEpisode]
"""Random generator -> an episode with ground truth (without, where the reward needs none)."""


class PromptGraphEnv(gymnasium.Env):
    """Toggling prompt nodes of one image until SAM segments the object well.

    ## Observation
    A dict of float32 arrays, padded with zeros to `max_nodes`: `nodes` [max_nodes, features], `node_type` [max_nodes,
    types] one-hot, `image_maps` [maps, h, w], `maps` [maps, h, w] of the current mask, `reference_maps` [maps,
    max_references, h, w], `references` [1] share of those places that are used (of more references the first
    max_references are shown), `scalars`, `differences`, `remaining` [1]; `SCHEMA` names their columns and channels.
    `gpoa.graph.builder.to_hetero` gives the same state as PyG's `HeteroData`.

    ## Action
    `Discrete(max_nodes + 1)`: toggle a node; the last action is STOP. `action_masks()` [max_nodes + 1] bool and
    `info["action_mask"]` int8 say what is legal. An illegal action changes nothing, earns nothing and
    costs a step (`info["illegal"]`).

    ## Reward
    Difference of a potential (`gpoa.envs.rewards`) minus `step_cost` for every toggle, so that a closed cycle of
    toggles earns nothing but its cost.

    ## End of episode
    Terminated by STOP; truncated when the horizon is reached.

    Args:
        draw: gives the next episode.
        reward: a key of `POTENTIALS`.
        step_cost: subtracted for every toggle.
        max_nodes: padding; an episode with more nodes is refused.
        max_references: padding of the references' maps.
        render_mode: `rgb_array` or None.

    Raises:
        ConfigError: an episode has more than `max_nodes` nodes.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        draw: EpisodeDraw,
        reward: str = "iou",
        step_cost: float = 0.0,
        max_nodes: int = MAX_NODES,
        max_references: int = MAX_REFERENCES,
        render_mode: str | None = None,
    ) -> None:
        check_render_mode(render_mode)
        self.draw, self.step_cost, self.max_nodes = draw, step_cost, max_nodes
        self.max_references, self.render_mode = max_references, render_mode
        self.potential: Potential = POTENTIALS[reward]
        self.episode = draw(np.random.default_rng(0))
        self.state = self.episode.start()
        self._taken = 0
        self.action_space = spaces.Discrete(max_nodes + 1)
        seen = self._observation()
        self.observation_space = spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, value.shape, np.float32) for name, value in seen.items()}
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Starts the next episode, or the one in `options["episode"]`."""
        super().reset(seed=seed)
        given = (options or {}).get("episode")
        self.episode = given if given is not None else self.draw(self.np_random)
        self.state, self._taken = self.episode.start(), 0
        return self._observation(), self._info(illegal=False)

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        """Toggles a node, or stops."""
        self._taken += 1
        own = self.episode.stop if action == self.max_nodes else int(action)
        illegal = own > self.episode.stop or (own == self.episode.stop) != (action == self.max_nodes)
        illegal = illegal or not self.episode.legal(self.state)[own]
        reward = 0.0
        if not illegal:
            before = self.potential(self.episode, self.state)
            self.state = self.episode.step(self.state, own)
            reward = self.potential(self.episode, self.state) - before
            reward -= 0.0 if self.state.stopped else self.step_cost
        terminated = self.state.stopped
        truncated = not terminated and self._taken >= self.episode.horizon
        return self._observation(), float(reward), terminated, truncated, self._info(illegal)

    def action_masks(self) -> np.ndarray:
        """[max_nodes + 1] bool: which actions are legal now, as `sb3_contrib` asks for it."""
        legal = self.episode.legal(self.state)
        mask = np.zeros(self.max_nodes + 1, dtype=bool)
        mask[: len(legal) - 1], mask[-1] = legal[:-1], legal[-1]
        return mask

    def render(self) -> np.ndarray | None:
        """[256, 256, 3] uint8 RGB: the score map in grey, mask and points of the current state; None without
        `render_mode="rgb_array"`."""
        if self.render_mode is None:
            return None
        nodes, active = self.episode.nodes, self.state.active
        score = self.episode.view.image_maps[IMAGE_MAPS.index("probability")]
        mask = self.episode.feedback(active).output_masks[nodes.output(active)]
        points = np.flatnonzero(active & (nodes.patch_index >= 0))
        height, width = nodes.original_size
        shares = (nodes.xy[points] + 0.5) / np.array([width, height])
        return draw_state(score, mask, shares, (nodes.kind[points] == NodeKind.POS).astype(int))

    def _observation(self) -> dict[str, np.ndarray]:
        """The padded arrays of the current state."""
        if len(self.episode.nodes) > self.max_nodes:
            raise ConfigError(
                f"{self.episode.name}: {len(self.episode.nodes)} nodes, but max_nodes is {self.max_nodes}; raise it"
            )
        seen = observe(self.episode, self.state)
        nodes = np.zeros((self.max_nodes, len(NODE_FEATURES)), dtype=np.float32)
        nodes[: len(seen.features)] = seen.features
        kinds = np.zeros((self.max_nodes, len(NODE_TYPES)), dtype=np.float32)
        kinds[np.arange(len(seen.kind)), seen.kind] = 1
        maps, shots, *grid = seen.reference_maps.shape
        shown = min(shots, self.max_references)
        references = np.zeros((maps, self.max_references, *grid), dtype=np.float32)
        references[:, :shown] = seen.reference_maps[:, :shown]
        return {
            "nodes": nodes,
            "node_type": kinds,
            **{name: getattr(seen, name).astype(np.float32) for name in COPIED},  # the memory's arrays stay ours
            "reference_maps": references,
            "references": np.array([shown / self.max_references], dtype=np.float32),
            "remaining": np.array([seen.remaining], dtype=np.float32),
        }

    def _info(self, illegal: bool) -> dict[str, Any]:
        """The action mask, and whether the last action was illegal."""
        return {"action_mask": self.action_masks().astype(np.int8), "illegal": illegal}


SCHEMA = {
    "nodes": NODE_FEATURES,
    "image_maps": IMAGE_MAPS,
    "maps": MASK_MAPS,
    "reference_maps": REFERENCE_MAPS,
    "scalars": SCALARS,
    "differences": DIFFERENCES,
}
"""What the columns and channels of an observation mean."""
