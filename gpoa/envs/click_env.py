"""Clicking on an image as a Gymnasium environment: `gpoa/ClickSegment-v0`.

Observation: one of two kinds, see `gpoa.envs.click_observation`.
Action: Discrete(2 G G + 2): a positive click on one of G x G cells that cover the image, row by row; a negative one;
STOP; UNDO (the latest two only where they are switched on).
Reward: the difference of a potential of the state (`CLICK_POTENTIALS`), minus a cost a click, so that a circle of
clicks and UNDO earns nothing.
End of episode: STOP terminates; the step limit truncates.

The truth makes the reward and, with `start="oracle"`, the first click; it is in no observation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gpoa.config.clicks import ClickEnvConfig
from gpoa.envs.click_episode import Click, ClickEpisode, ClickState, cells_of
from gpoa.envs.click_observation import OBSERVATIONS
from gpoa.envs.click_oracle import oracle_click
from gpoa.envs.click_scene import ClickScene
from gpoa.envs.rewards import boundary_iou, dice, jaccard
from gpoa.errors import ConfigError
from gpoa.segmenters.base import Segmenter

Potential = Callable[[ClickState, ClickScene], float]
FAR = 0.25
"""Clicks this far apart, as a fraction of the diagonal, count as far for the reward `alignsam`."""
TINT = np.array([255, 64, 64])
COLOURS = {1: (40, 220, 60), 0: (40, 90, 255)}


class ClickSegmentEnv(gymnasium.Env[Any, np.int64]):
    """See the module.

    Args:
        scenes: at least one; an episode draws a class, then a scene of it.
        segmenter: several environments may share one.
        config: how the game is played.
        render_mode: None or rgb_array.

    Raises:
        ConfigError: there is no scene, or one without the prior that the config needs.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012 - Gymnasium's own form

    def __init__(
        self,
        scenes: Sequence[ClickScene],
        segmenter: Segmenter,
        config: ClickEnvConfig | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.scenes, self.segmenter, self.config = list(scenes), segmenter, config or ClickEnvConfig()
        self.render_mode = render_mode
        if not self.scenes:
            raise ConfigError("no scene to click on; name a folder of classes with data=")
        needed = self.config.prior or self.config.start == "prior"
        if needed and any(scene.prior is None for scene in self.scenes):
            raise ConfigError("prior: some scenes have no prior map; give their class a reference, or take prior=False")
        self.groups: dict[str, list[int]] = {}
        for place, scene in enumerate(self.scenes):
            self.groups.setdefault(scene.group, []).append(place)
        cells = self.config.cells
        self.action_space = spaces.Discrete(2 * cells**2 + self.config.stop + self.config.undo)
        self.observer = OBSERVATIONS[self.config.observation](self.config.size, self.config.prior, sorted(self.groups))
        self.observation_space = self.observer.space
        self.scene, self.states = self.scenes[0], [self._open(self.scenes[0]).begin()]
        self.taken = 0

    @property
    def state(self) -> ClickState:
        """The current state."""
        return self.states[-1]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode; `options={"scene": i}` chooses the scene."""
        super().reset(seed=seed)
        place = (options or {}).get("scene")
        if place is None:
            names = sorted(self.groups)
            members = self.groups[names[int(self.np_random.integers(len(names)))]]
            place = members[int(self.np_random.integers(len(members)))]
        self.scene = self.scenes[int(place)]
        self.episode = self._open(self.scene)
        state = self.episode.begin()
        if self.config.start == "oracle":
            first = oracle_click(self.scene.wanted, state.mask, self.episode.size)
            state = state if first is None else self.episode.click(state, first)
        self.states, self.taken = [state], 0
        return self._observe(), self._info()

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Clicks, goes back, or stops; an action that `action_masks` forbids changes nothing."""
        before, index = self._value(), int(action)
        cells = self.config.cells
        stopped = self.config.stop and index == 2 * cells**2
        self.taken += 1
        if not stopped and self.action_masks()[index]:
            if index < 2 * cells**2:
                self.states.append(self.episode.click(self.state, self.click_of(index)))
            else:
                self.states.pop()
        cost = 0.0 if stopped or index > 2 * cells**2 else self.config.click_cost
        reward = self._value() - before - cost
        return self._observe(), float(reward), bool(stopped), self.taken >= self.config.steps, self._info()

    def click_of(self, action: int) -> Click:
        """The click that an action stands for: the centre of its cell, in original pixels."""
        cells, (height, width) = self.config.cells, self.episode.size
        kind, place = divmod(action, cells**2)
        row, column = divmod(place, cells)
        x, y = (column + 0.5) * width / cells - 0.5, (row + 0.5) * height / cells - 0.5
        return Click(float(x), float(y), 1 - kind)

    def action_of(self, click: Click) -> int:
        """The action whose cell a click lies in."""
        cells, (height, width) = self.config.cells, self.episode.size
        row = min(int((click.y + 0.5) * cells / height), cells - 1)
        column = min(int((click.x + 0.5) * cells / width), cells - 1)
        return (1 - click.label) * cells**2 + row * cells + column

    def action_masks(self) -> np.ndarray:
        """[n] bool: what is legal now, as sb3-contrib calls it.

        A cell is clicked once; while there is no mask, a click is positive; there is nothing to undo before an own
        click."""
        cells = self.config.cells
        legal = np.ones(2 * cells**2 + self.config.stop + self.config.undo, dtype=bool)
        for click in self.state.clicks:
            place = self.action_of(click) % cells**2
            legal[[place, place + cells**2]] = False
        if not self.state.clicks and not self.state.mask.any():
            legal[cells**2 : 2 * cells**2] = False
        if self.config.undo:
            legal[-1] = len(self.states) > 1
        return legal

    def render(self) -> np.ndarray | None:
        """[size, size, 3] uint8: the image, the mask in red, positive clicks green and negative ones blue."""
        if self.render_mode != "rgb_array":
            return None
        return draw_clicks(self.scene.image, self.state, self.config.size)

    def _open(self, scene: ClickScene) -> ClickEpisode:
        """The scene's episode, into which no truth goes."""
        start = scene.prior if self.config.start == "prior" else None
        return ClickEpisode(self.segmenter, scene.embedding, scene.prior, start, self.config.feed_back)

    def _value(self) -> float:
        return CLICK_POTENTIALS[self.config.reward](self.state, self.scene)

    def _observe(self) -> Any:
        return self.observer(self.scene, self.state, self.taken / self.config.steps)

    def _info(self) -> dict[str, Any]:
        """Scores for the log, and the mask of legal actions."""
        return {
            "dice": dice(self.state.mask, self.scene.wanted),
            "iou": jaccard(self.state.mask, self.scene.wanted),
            "group": self.scene.group,
            "action_mask": self.action_masks(),
        }


def draw_clicks(image: np.ndarray, state: ClickState, side: int) -> np.ndarray:
    """A picture of a state.

    Args:
        image: [H, W, 3] uint8 RGB.
        state: its mask and clicks.
        side: of the square picture in pixels.

    Returns:
        [side, side, 3] uint8.
    """
    from gpoa.envs.click_observation import mask_on, square

    size = (image.shape[0], image.shape[1])
    picture = square(image, side).astype(np.float32)
    mask = mask_on(state.logits, size, side)[..., None]
    picture = picture * (1 - 0.45 * mask) + TINT * 0.45 * mask
    y, x = np.mgrid[0:side, 0:side]
    for click in state.clicks:
        row, column = (click.y + 0.5) * side / size[0], (click.x + 0.5) * side / size[1]
        picture[(y - row) ** 2 + (x - column) ** 2 < (side / 40) ** 2 + 2] = COLOURS[click.label]
    return picture.round().astype(np.uint8)


def _dice_boundary(state: ClickState, scene: ClickScene) -> float:
    """Mean of Dice and boundary IoU, the boundary bonus of BS-IRIS' kind."""
    return (dice(state.mask, scene.wanted) + boundary_iou(state.mask, scene.wanted)) / 2


def _alignsam(state: ClickState, scene: ClickScene) -> float:
    """After AlignSAM's reward: right labels, far from the other clicks; a fifth of the sum over the clicks of +1 or -1
    for the label times (1 + distance) / 2, the distance to the nearest earlier click being cut off at a quarter of the
    diagonal and scaled to [0, 1]."""
    if not state.clicks:
        return 0.0
    size = scene.embedding.original_size
    rows, columns = cells_of(state.clicks, size)
    right = scene.wanted[rows, columns] == np.array([click.label == 1 for click in state.clicks])
    places = np.stack([rows, columns], axis=1).astype(np.float64)
    reach = FAR * 256 * float(np.hypot(*size)) / max(size)
    total = 0.0
    for number, place in enumerate(places):
        gaps = np.linalg.norm(places[:number] - place, axis=1)
        apart = min(1.0, float(gaps.min()) / reach) if number else 1.0
        total += (1 if right[number] else -1) * (1 + apart) / 2
    return total / 5


CLICK_POTENTIALS: dict[str, Potential] = {
    "dice": lambda state, scene: dice(state.mask, scene.wanted),
    "iou": lambda state, scene: jaccard(state.mask, scene.wanted),
    "dice-boundary": _dice_boundary,
    "alignsam": _alignsam,
}
"""How good a state is; only differences matter."""
