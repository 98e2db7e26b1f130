"""The click environments under the names that `gymnasium.make` knows.

    import gymnasium
    from gpoa.envs.click_registration import register_click_environments
    register_click_environments()
    env = gymnasium.make("gpoa/ClickSegment-v0", data="classes/")       # needs the models
    env = gymnasium.make("gpoa/ClickSegmentToy-v0")                     # needs none

`gymnasium.make("gpoa.envs.click_registration:gpoa/ClickSegment-v0", …)` imports this module by itself. An entry point
is a name, looked up when an environment is made: the first needs the pipeline, which stands above this room.
"""

from __future__ import annotations

import gymnasium

CLICK_ENVIRONMENTS = {
    "gpoa/ClickSegment-v0": "gpoa.rl.click_environments:make_click_segment",
    "gpoa/ClickSegmentToy-v0": "gpoa.envs.click_toy:make_click_toy",
}
"""Name -> "module:function" that makes the environment."""


def register_click_environments() -> None:
    """Registers those that are not registered yet."""
    for name, maker in CLICK_ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=maker)


register_click_environments()
