"""Policies of Stable-Baselines3 in its own zip files: made by `gpoa train sb3`, opened by `stable_baselines3.PPO.load`
and by `gpoa run --strategy sb3`.

Such a file is a zip with `data` (JSON) and the weights. Ours has a card in `data`, `gpoa_card`, of plain values: what
the observation's numbers are, which rules the actions follow, what the policy was trained with. `load_sb3_policy` reads
the card and the weights only, so that no code in a file is ever executed (`PPO.load` unpickles the rest).
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpoa.config import Sb3Name
from gpoa.errors import ConfigError, ModelError, one_line
from gpoa.policies.scaled_observations import ScaledObservations

KIND = "gpoa-sb3"
REMEDY = "train one with `gpoa train sb3`"
ALGORITHMS: dict[Sb3Name, tuple[str, str, str]] = {
    "ppo": ("stable_baselines3", "PPO", "stable_baselines3.common.policies:ActorCriticPolicy"),
    "a2c": ("stable_baselines3", "A2C", "stable_baselines3.common.policies:ActorCriticPolicy"),
    "dqn": ("stable_baselines3", "DQN", "stable_baselines3.dqn.policies:DQNPolicy"),
    "maskable-ppo": (
        "sb3_contrib",
        "MaskablePPO",
        "sb3_contrib.common.maskable.policies:MaskableActorCriticPolicy",
    ),
}
"""Name -> module and class of the algorithm, "module:class" of its policy."""


@dataclass(frozen=True)
class Sb3Card:
    """What is known of a policy besides its weights; plain values, as they lie in the file.

    Args:
        algorithm: a key of `ALGORITHMS`.
        contract: everything that shapes an observation or an action; a file of another contract is refused.
        observation_range: numbers of an observation lie in +- this.
        net_arch: widths of the hidden layers.
        horizon: actions of an episode.
        margin: the start is left only for a mask whose expected IoU is higher by more than this.
        models: names of the weights that it was trained with.
        training: data, steps, scores, for people.
    """

    algorithm: Sb3Name
    contract: dict[str, Any]
    observation_range: float
    net_arch: list[int]
    horizon: int
    margin: float
    models: dict[str, str]
    training: dict[str, Any]


class Sb3Policy:
    """A trained policy for inference.

    Args:
        network: of Stable-Baselines3.
        card: what it was trained for.
    """

    def __init__(self, network: Any, card: Sb3Card) -> None:
        self.network, self.card = network, card

    def choose(self, observation: np.ndarray, legal: np.ndarray) -> int:
        """The best legal action: the most probable one (PPO, A2C), or the one of the highest value (DQN).

        Args:
            observation: [F] float32, not scaled.
            legal: [A] bool.
        """
        batch = torch.from_numpy(np.asarray(observation, dtype=np.float32))[None]
        with torch.inference_mode():
            if self.card.algorithm == "dqn":
                scores = self.network.q_net(batch)
            else:
                scores = self.network.get_distribution(batch).distribution.logits
        return int(np.where(legal, scores[0].numpy(), -np.inf).argmax())


def algorithm_class(name: Sb3Name) -> Any:
    """The algorithm's class.

    Raises:
        ConfigError: the packages are not installed.
    """
    module, kind, _ = ALGORITHMS[name]
    return getattr(_import(module), kind)


def load_sb3_policy(path: Path, contract: Mapping[str, Any]) -> Sb3Policy:
    """Reads a policy for inference.

    Args:
        path: a zip file of `gpoa train sb3`.
        contract: of the code and the settings in use.

    Raises:
        ModelError: the file is missing, damaged, of another program, or was trained with another contract.
        ConfigError: the packages are not installed.
    """
    card, weights = _read(path)
    wrong = [name for name in contract if card.contract.get(name) != plain(contract[name])]
    if wrong:
        raise ModelError(f"{path}: was trained with other settings ({', '.join(wrong)} differ); {REMEDY}")
    from gymnasium import spaces

    module, kind = ALGORITHMS[card.algorithm][2].split(":")
    shape, bound = (len(card.contract["numbers"]),), card.observation_range
    try:
        network = getattr(_import(module), kind)(
            spaces.Box(-bound, bound, shape, np.float32),
            spaces.Discrete(card.contract["actions"]),
            lambda _: 0.0,
            net_arch=list(card.net_arch),
            features_extractor_class=ScaledObservations,
        )
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: damaged ({one_line(error)[:80]}); {REMEDY}") from error
    network.set_training_mode(False)
    return Sb3Policy(network, card)


def read_card(path: Path) -> Sb3Card:
    """The card of a policy file.

    Raises:
        ModelError: as for `load_sb3_policy`.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Sb3Card, dict[str, torch.Tensor]]:
    """Card and weights of a file."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file; {REMEDY}")
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
            weights = torch.load(io.BytesIO(archive.read("policy.pth")), map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged pickle any kind may come
        raise ModelError(f"{path}: no policy of Stable-Baselines3 ({one_line(error)[:80]}); {REMEDY}") from error
    said = data.get("gpoa_card")
    if not isinstance(said, dict) or said.get("kind") != KIND or said.get("algorithm") not in ALGORITHMS:
        raise ModelError(f"{path}: a policy of Stable-Baselines3, but not one for gpoa's environments; {REMEDY}")
    try:
        return Sb3Card(**{name: value for name, value in said.items() if name != "kind"}), weights
    except TypeError as error:
        raise ModelError(f"{path}: its card is of another version of gpoa; {REMEDY}") from error


def plain(value: Any) -> Any:
    """Tuples as lists, as a file gives them back."""
    return json.loads(json.dumps(value))


def _import(module: str) -> Any:
    """A module of the optional packages."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"Stable-Baselines3 is not installed ({error}); run `pip install gpoa[sb3]`") from error
