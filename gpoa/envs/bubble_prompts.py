"""Adding and removing points behind Gymnasium's interface, for agents of Stable-Baselines3 and other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from gpoa.envs.bubble_episode import ACTIONS, BubbleEpisode, BubbleState, choose_state
from gpoa.envs.bubble_observation import NUMBERS, RANGE, observe_bubble
from gpoa.envs.bubble_places import Kind
from gpoa.envs.rendering import check_render_mode, draw_state
from gpoa.errors import ConfigError
from gpoa.geometry import low_res_size

BubbleDraw = Callable[[np.random.Generator], BubbleEpisode]
"""Random generator -> an episode, with ground truth where the reward needs it."""
BubbleReward = Literal["truth", "expected"]


class BubblePromptsEnv(gymnasium.Env):
    """Adding and removing point prompts of one image until SAM segments the objects well.

    ## Observation
    `Box(-10, 10, [72])` float32, named by `gpoa.envs.bubble_observation.NUMBERS`; none of them knows the ground truth.
    Its shape depends neither on the image, nor on the number of references or points.

    ## Action
    `Discrete(17)`: four kinds (add a positive, remove a positive, add a negative, remove a negative) times four
    candidates, best first by the rule of `gpoa.envs.bubble_places`; the last action is STOP. `action_masks()` [17] bool
    and `info["action_mask"]` int8 say which are legal. An illegal action changes nothing and costs a step.

    ## Reward
    The change of a potential minus `step_cost` (STOP is free): `truth`, agreement with the ground truth; `expected`,
    the IoU that the prior expects, without ground truth. A closed cycle earns nothing but its cost.

    ## End of episode
    Terminated by STOP, truncated when the horizon is reached. `info["mask"]` [h, w] bool, the longer side 256, is then
    the mask of the best state that was visited, chosen without ground truth; `info["final"]` and `info["start"]` are
    its potential and the start's.

    Args:
        draw: gives the next episode.
        reward: see above.
        step_cost: subtracted for every action but STOP.
        margin: the start is left for a better state only if its expected IoU is higher by more than this.
        render_mode: `rgb_array` or None.

    Raises:
        ConfigError: the reward needs ground truth and an episode has none.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        draw: BubbleDraw,
        reward: BubbleReward = "truth",
        step_cost: float = 0.002,
        margin: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        check_render_mode(render_mode)
        self.draw, self.reward, self.step_cost, self.margin = draw, reward, step_cost, margin
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(ACTIONS)
        self.observation_space = spaces.Box(-RANGE, RANGE, (len(NUMBERS),), np.float32)
        self._episode: BubbleEpisode | None = None
        self.visited: list[BubbleState] = []
        self._taken = 0

    @property
    def episode(self) -> BubbleEpisode:
        """The current episode; RuntimeError before the first `reset`."""
        if self._episode is None:
            raise RuntimeError("call reset() before anything else")
        return self._episode

    @property
    def state(self) -> BubbleState:
        """The current state."""
        return self.visited[-1]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts the next episode, or the one in `options["episode"]`."""
        super().reset(seed=seed)
        given = (options or {}).get("episode")
        self._episode = given if given is not None else self.draw(self.np_random)
        self.visited, self._taken = [self.episode.start()], 0
        return observe_bubble(self.episode, self.state), self._info(illegal=False)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Adds or removes a point, or stops."""
        self._taken += 1
        illegal = not self.action_masks()[int(action)]
        reward = 0.0
        if not illegal:
            before = self._potential(self.state)
            self.visited.append(self.episode.step(self.state, int(action)))
            reward = self._potential(self.state) - before
        terminated = self.state.stopped
        truncated = not terminated and self._taken >= self.episode.horizon
        info = self._info(illegal)
        if terminated or truncated:
            chosen = choose_state(self.visited, self.margin)
            rows, columns = low_res_size(self.episode.image.original_size)
            info |= {"mask": chosen.look.mask[:rows, :columns], "name": self.episode.name}
            info |= {"start": self._potential(self.visited[0]), "final": self._potential(chosen)}
        reward -= 0.0 if terminated else self.step_cost
        return observe_bubble(self.episode, self.state), float(reward), terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """[17] bool: which actions are legal now, as `sb3_contrib` asks for it."""
        return self.episode.legal(self.state)

    def render(self) -> np.ndarray | None:
        """[256, 256, 3] uint8 RGB of the current state with `render_mode="rgb_array"`, else None."""
        if self.render_mode is None:
            return None
        image, (height, width) = self.episode.image, self.episode.image.original_size
        rows, columns = low_res_size(image.original_size)
        background = image.probability[:rows, :columns] if image.picture is None else image.picture
        shares = (self.state.xy + 0.5) / np.array([width, height])
        return draw_state(background, self.state.look.mask[:rows, :columns], shares, self.state.labels)

    def _potential(self, state: BubbleState) -> float:
        """How good a state is."""
        if self.reward == "expected":
            return state.look.expected_iou
        if state.look.truth is None:
            raise ConfigError(f"{self.episode.name}: reward truth needs ground truth; use reward='expected'")
        return state.look.truth

    def _info(self, illegal: bool) -> dict[str, Any]:
        """The action mask, what the last action was, and how good the state is."""
        kind = self.state.kind
        return {
            "action_mask": self.action_masks().astype(np.int8),
            "illegal": illegal,
            "kind": "" if kind is None else Kind(kind).name.lower(),
            "iou": self._potential(self.state),
            "expected_iou": self.state.look.expected_iou,
        }
