"""A trained prior: its file, and the probability map that it makes of a target.

A prior file holds the network's weights and sizes, the temperature that calibrates it, and the contract: every constant
that shapes the maps. A file whose contract differs from the code's is refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpoa.config import PriorConfig
from gpoa.errors import ModelError, one_line
from gpoa.matching.prior import maps, pixels
from gpoa.matching.prior.maps import PriorMaps
from gpoa.matching.prior.network import PriorBatch, PriorNetwork
from gpoa.runtime.checkpointing import load_checkpoint, save_checkpoint

KIND = "prior"
REMEDY = "train one with `gpoa train prior`, or choose --matching.method ridge"


@dataclass(frozen=True)
class PriorCard:
    """What is known of a prior besides its weights.

    Args:
        temperature: logits are divided by it; fitted on validation classes.
        training: plain values: data, models, updates, scores on validation classes.
    """

    temperature: float = 1.0
    training: dict[str, Any] = field(default_factory=dict)


class Prior:
    """The network in use.

    Args:
        network: trained.
        card: its temperature and history.
    """

    def __init__(self, network: PriorNetwork, card: PriorCard) -> None:
        self.network, self.card = network.eval(), card

    def logits(self, target: PriorMaps) -> np.ndarray:
        """The calibrated log odds that each cell is foreground: the mean of the image and its mirror image.

        Args:
            target: maps of one target.

        Returns:
            [256, 256] float32 over the whole image.
        """
        batch = to_batch([target])
        both = PriorBatch(*(torch.cat([level, level.flip(3)]) for level in batch))
        with torch.inference_mode():
            straight, mirrored = self.network(both)[0]
        return ((straight + mirrored.flip(1)) / (2 * self.card.temperature)).numpy()


def to_batch(targets: list[PriorMaps]) -> PriorBatch:
    """Maps of B targets as tensors, rgb scaled to [0, 1]."""
    levels = zip(*((one.coarse, one.middle, one.fine, one.rgb) for one in targets), strict=True)
    coarse, middle, fine, rgb = (torch.from_numpy(np.stack(level).astype(np.float32)) for level in levels)
    return PriorBatch(coarse, middle, fine, rgb / 255)


def contract() -> dict[str, Any]:
    """Every constant that shapes the maps, as plain values."""
    parts = {
        "coarse": maps.COARSE_MAPS,
        "middle": maps.MIDDLE_MAPS,
        "fine": maps.FINE_MAPS,
        "sides": (maps.COARSE, maps.MIDDLE, maps.FINE, pixels.SIDE),
        "penalties": (*maps.PENALTIES, maps.LAYER_PENALTY, maps.SEGMENTER_PENALTY, pixels.PENALTY),
        "temperatures": (maps.AFFINITY_TEMPERATURE, maps.LOCAL_TEMPERATURE, maps.NEIGHBOUR_SIGMA),
        "limits": (maps.OTSU_SHARE, maps.LIMIT, pixels.CLIP),
        "pixels": (pixels.SCALES, pixels.RANDOM_FEATURES, pixels.FOREGROUND_PIXELS, pixels.BACKGROUND_PIXELS),
    }
    return {name: _plain(value) for name, value in parts.items()}


def save_prior(path: Path, network: PriorNetwork, card: PriorCard) -> None:
    """Writes a prior file; weights in float16, for they are the larger part of it."""
    weights = {name: value.detach().half() for name, value in network.state_dict().items()}
    state = {"kind": KIND, "sizes": _plain(asdict(network.config)), "weights": weights, "contract": contract()}
    save_checkpoint(path, {**state, "card": asdict(card)})


def load_prior(path: Path) -> Prior:
    """Reads a prior file.

    Raises:
        ModelError: it is missing, damaged, something else, or its maps are not those of this version.
    """
    state = load_checkpoint(path, REMEDY)
    if state.get("kind") != KIND:
        raise ModelError(f"{path}: is not a prior; {REMEDY}")
    ours, theirs = contract(), state["contract"]
    differing = [name for name in ours if ours[name] != theirs.get(name)]
    if differing:
        raise ModelError(f"{path}: was trained on other maps ({', '.join(differing)} differ); {REMEDY}")
    try:
        sizes = state["sizes"]
        network = PriorNetwork(PriorConfig(**{**sizes, "dilations": tuple(sizes["dilations"])}))
        network.load_state_dict({name: value.float() for name, value in state["weights"].items()})
    except (RuntimeError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: damaged ({one_line(error)[:80]}); {REMEDY}") from error
    return Prior(network, PriorCard(**state["card"]))


def _plain(value: Any) -> Any:
    """Tuples as lists, so that what was saved equals what is compared."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value
