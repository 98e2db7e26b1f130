"""The two networks of an agent and the file that they live in.

Everything that shapes an observation is saved with the weights and compared when they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from gpoa.config import GpoaConfig, PolicyConfig
from gpoa.errors import ModelError
from gpoa.graph.schema import EDGE_TYPES, NODE_FEATURES, NODE_TYPES
from gpoa.matching.mask_difference import DIFFERENCES
from gpoa.matching.relational_maps import IMAGE_MAPS, MASK_MAPS, REFERENCE_MAPS, SCALARS
from gpoa.policies.actor_critic import ActorCritic
from gpoa.policies.quality import QualityHead
from gpoa.runtime.checkpointing import load_checkpoint, save_checkpoint

OBSERVED = ("features", "matching", "threshold", "candidates", "graph")
"""Sections of the config that shape what a policy sees."""
IGNORED = {"threshold": ("presence", "sureness")}
"""Fields of those sections that do not."""


class GraphPolicy(nn.Module):
    """Actor and quality head.

    Args:
        config: their sizes.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.actor = ActorCritic(config.width, config.layers, config.map_width, config.stop_bias)
        self.quality = QualityHead(config.members, config.quality_width)


@dataclass(frozen=True)
class PolicyCard:
    """What is known of a trained policy besides its weights.

    Args:
        models: the frozen models that it was trained with.
        calibration: `margin` of the choice; `absent`, the expected IoU below which the object may be absent (where it
            was measured).
        training: plain values: data, licences, steps, seed, hardware, scores.
    """

    models: dict[str, str]
    calibration: dict[str, float]
    training: dict[str, Any] = field(default_factory=dict)


def observation_contract(config: GpoaConfig) -> dict[str, Any]:
    """All that shapes an observation, as plain values."""
    sections = {}
    for name in OBSERVED:
        values = asdict(getattr(config, name))
        sections[name] = {key: value for key, value in values.items() if key not in IGNORED.get(name, ())}
    if config.matching.method != "prior":  # what only shapes the prior's maps
        del sections["matching"]["prior"], sections["candidates"]["prior_gain"]
    names = {
        "node_types": NODE_TYPES,
        "node_features": NODE_FEATURES,
        "edge_types": EDGE_TYPES,
        "image_maps": IMAGE_MAPS,
        "mask_maps": MASK_MAPS,
        "reference_maps": REFERENCE_MAPS,
        "scalars": SCALARS,
        "differences": DIFFERENCES,
    }
    return _plain({**sections, "schema": names})


def save_policy(path: Path, policy: GraphPolicy, config: GpoaConfig, card: PolicyCard) -> None:
    """Writes a policy for inference.

    Args:
        path: the file.
        policy: its weights are stored as float32.
        config: with which it was trained.
        card: where it comes from.
    """
    state = {
        "kind": "gpoa-policy",
        "policy_config": asdict(policy.config),
        "contract": observation_contract(config),
        "card": asdict(card),
        "weights": policy.state_dict(),
    }
    save_checkpoint(path, state)


def load_policy(path: Path, config: GpoaConfig | None = None) -> tuple[GraphPolicy, PolicyCard]:
    """Reads a policy.

    Args:
        path: the file.
        config: what it is to be used with; None skips the comparison.

    Returns:
        The policy in evaluation mode, and its card.

    Raises:
        ModelError: the file is not a policy, or it was trained with another config.
    """
    state = load_checkpoint(path, "train one with `gpoa train`")
    if state.get("kind") != "gpoa-policy":
        raise ModelError(f"{path}: a checkpoint, but not a policy; take `policy.pt` of the run's folder")
    if config is not None:
        differences = list(_differences(state["contract"], observation_contract(config)))
        if differences:
            raise ModelError(
                f"{path}: this policy was trained with another config: {'; '.join(differences[:4])}; use the policy's "
                "values, another policy, or another --strategy"
            )
    policy = GraphPolicy(PolicyConfig(**state["policy_config"]))
    policy.load_state_dict(state["weights"])
    return policy.eval(), PolicyCard(**state["card"])


def parameter_count(policy: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in policy.parameters())


def _differences(trained: Mapping[str, Any], used: Mapping[str, Any], prefix: str = "") -> Any:
    """Yields one phrase for each value that differs."""
    for key in sorted(set(trained) | set(used)):
        left, right = trained.get(key), used.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            yield from _differences(left, right, f"{prefix}{key}.")
        elif left != right and prefix == "schema.":
            yield f"it sees other {key.replace('_', ' ')} than this version of gpoa"
        elif left != right:
            yield f"{prefix}{key} was {left}, now {right}"


def _plain(value: Any) -> Any:
    """Tuples as lists, as a file gives them back."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
