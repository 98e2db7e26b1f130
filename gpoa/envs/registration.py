"""The environments under the names that `gymnasium.make` knows; importing `gpoa.envs` registers them.

    import gymnasium, gpoa.envs
    env = gymnasium.make("gpoa/BubblePrompts-v0", data="classes/")

`gymnasium.make("gpoa.envs:gpoa/BubblePrompts-v0", …)` imports the package by itself. An entry point is a name, looked
up when an environment is made: those that open images need the pipeline, which stands above this room.
"""

from __future__ import annotations

import gymnasium

ENVIRONMENTS = {
    "gpoa/BubblePrompts-v0": "gpoa.rl.environments:make_bubble_prompts",
    "gpoa/BubblePromptsToy-v0": "gpoa.envs.bubble_toy:make_bubble_toy",
    "gpoa/PromptGraph-v0": "gpoa.rl.environments:make_prompt_graph",
}
"""Name -> "module:function" that makes the environment."""


def register_environments() -> None:
    """Registers every environment that is not registered yet."""
    for name, maker in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=maker)
