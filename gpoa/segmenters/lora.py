"""LoRA adapters (Hu et al. 2021, arXiv:2106.09685) on the image encoder of a SAM, from a safetensors file.

Two layouts are read. The one of SAMed (arXiv:2304.13785) and its descendants: `w_a_000`, `w_b_000`, ... with the pairs
of q and v of every block in turn, added without a scale. And PEFT's: `...<block>.attn.qkv.lora_A.weight` (or `q_proj`,
`k_proj`, `v_proj`), whose scale is alpha / r of the `adapter_config.json` beside it.

Legend: `D` width of the encoder, `r` rank.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpoa.errors import ModelError, one_line

if TYPE_CHECKING:
    import torch

ADAPTER_NAMES = ("lora.safetensors", "adapter_model.safetensors")
"""What an adapter in a model's folder is called: ours, PEFT's."""
_PARTS = ("q", "k", "v")
_PLAIN = re.compile(r"w_([ab])_(\d+)$")
_PEFT = re.compile(
    r"(?:^|\.)(?:blocks|layers)\.(\d+)\.attn\.(qkv|[qkv]_proj|[qkv])\.lora_([AB])(?:\.default)?\.weight$"
)


@dataclass(frozen=True, eq=False)
class LoraPair:
    """One low-rank change of a projection: its weight gains up @ down, times the scale.

    Args:
        block: which block of the encoder.
        part: q, k or v, or qkv for all three.
        down: [r, D] float32.
        up: [D, r] float32, or [3 D, r] for qkv.
        names: the keys of `down` and `up` in the file.
    """

    block: int
    part: str
    down: torch.Tensor
    up: torch.Tensor
    names: tuple[str, str]


@dataclass(frozen=True, eq=False)
class LoraWeights:
    """An adapter.

    Args:
        path: its file.
        pairs: all changes.
        scale: factor of every change.
    """

    path: Path
    pairs: tuple[LoraPair, ...]
    scale: float


def find_adapter(folder: Path) -> Path | None:
    """The adapter in a model's folder, if there is one (see `ADAPTER_NAMES`)."""
    return next((Path(folder) / name for name in ADAPTER_NAMES if (Path(folder) / name).is_file()), None)


def merge_adapter(image_encoder: torch.nn.Module, folder: Path) -> None:
    """Merges the adapter of a model's folder, if there is one, into its image encoder; see `apply_lora`."""
    adapter = find_adapter(folder)
    if adapter is not None:
        apply_lora(image_encoder, load_lora(adapter))


def load_lora(path: Path) -> LoraWeights:
    """Reads an adapter.

    Args:
        path: a safetensors file of either layout.

    Returns:
        The adapter, every pair complete and of one rank in itself.

    Raises:
        ModelError: the file is damaged, holds something else, or half of a pair is missing.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: not a safetensors file ({one_line(error)})") from error
    plain = any(_PLAIN.match(key) for key in state)
    halves: dict[tuple[int, str], dict[str, str]] = {}
    for key in state:
        place, half = _place(key, plain, path)
        halves.setdefault(place, {})[half] = key
    if not halves:
        raise ModelError(f"{path}: holds no LoRA weights; expected keys such as w_a_000 or ...attn.qkv.lora_A.weight")
    pairs = []
    for (block, part), names in sorted(halves.items()):
        if len(names) < 2:
            raise ModelError(f"{path}: {next(iter(names.values()))} has no partner (every down needs an up)")
        down, up = (state[names[half]].float() for half in "ab")
        pairs.append(LoraPair(block, part, down, up, (names["a"], names["b"])))
    return LoraWeights(path, tuple(pairs), 1.0 if plain else _peft_scale(path))


def _place(key: str, plain: bool, path: Path) -> tuple[tuple[int, str], str]:
    """((block, part), a or b) of a key; ModelError where it is no key of the layout."""
    found = _PLAIN.match(key) if plain else _PEFT.search(key)
    if found is None:
        raise ModelError(f"{path}: {key} is no LoRA weight of an image encoder's attention; gpoa adapts nothing else")
    if plain:
        index = int(found[2])
        return (index // 2, "qv"[index % 2]), found[1]
    return (int(found[1]), found[2].removesuffix("_proj")), found[3].lower()


def _peft_scale(path: Path) -> float:
    """alpha / r (alpha / sqrt(r) for rank-stabilised LoRA) of the config beside a PEFT adapter."""
    config = path.with_name("adapter_config.json")
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
        alpha, rank = float(said["lora_alpha"]), float(said["r"])
        return alpha / (math.sqrt(rank) if said.get("use_rslora") else rank)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{config}: missing or damaged ({one_line(error)}); {path.name} needs its r and lora_alpha"
        ) from error


def apply_lora(
    image_encoder: torch.nn.Module, weights: LoraWeights, merge: bool = True, scale: float | None = None
) -> torch.nn.Module:
    """Puts an adapter on an image encoder.

    Args:
        image_encoder: `segment_anything`'s `ImageEncoderViT` or transformers' `SamVisionEncoder`: blocks (or layers)
            with one fused `attn.qkv` of [3 D, D]. It is changed in place, but only after every pair has been checked.
        weights: from `load_lora`.
        merge: add the changes to the weights (no cost an image); else keep them apart, as `LoraLinear`.
        scale: in place of the adapter's own.

    Returns:
        The same encoder.

    Raises:
        ModelError: a pair does not fit, or the file's blocks are not the encoder's.
    """
    blocks = _blocks_of(image_encoder, weights.path)
    for pair in weights.pairs:
        _check(pair, blocks, weights.path)
    adapted = {pair.block for pair in weights.pairs}
    if _PLAIN.match(weights.pairs[0].names[0]) and len(adapted) != len(blocks):
        raise ModelError(f"{weights.path}: pairs for {len(adapted)} blocks, but the encoder has {len(blocks)}")
    factor = weights.scale if scale is None else scale
    for index in adapted:
        linear = blocks[index].attn.qkv
        pairs = [pair for pair in weights.pairs if pair.block == index]
        if merge:
            _merge(linear, pairs, factor)
        else:
            blocks[index].attn.qkv = lora_linear(linear, pairs, factor)
    return image_encoder


def _blocks_of(image_encoder: torch.nn.Module, path: Path) -> Sequence[Any]:
    """The encoder's blocks; ModelError where it has none with a fused projection."""
    blocks = getattr(image_encoder, "blocks", None) or getattr(image_encoder, "layers", None)
    if not blocks or not hasattr(getattr(blocks[0], "attn", None), "qkv"):
        raise ModelError(f"{path}: a LoRA adapter fits SAM's ViT encoders only (blocks with attn.qkv)")
    return blocks


def _check(pair: LoraPair, blocks: Sequence[Any], path: Path) -> None:
    """Raises ModelError, naming the key, where a pair does not fit its block."""
    if pair.block >= len(blocks):
        raise ModelError(f"{path}: {pair.names[0]} is for block {pair.block}, but the encoder has {len(blocks)} blocks")
    width = blocks[pair.block].attn.qkv.in_features
    rank = pair.down.shape[0]
    rows = 3 * width if pair.part == "qkv" else width
    for name, got, expected in (
        (pair.names[0], tuple(pair.down.shape), (rank, width)),
        (pair.names[1], tuple(pair.up.shape), (rows, rank)),
    ):
        if got != expected:
            raise ModelError(f"{path}: {name} has shape {list(got)}, expected {list(expected)}")


def _rows(part: str, width: int) -> slice:
    """Which rows of the fused [3 D, D] weight a part is."""
    if part == "qkv":
        return slice(0, 3 * width)
    start = _PARTS.index(part) * width
    return slice(start, start + width)


def _merge(linear: torch.nn.Linear, pairs: list[LoraPair], scale: float) -> None:
    """Adds the pairs of one block to its fused weight."""
    import torch

    with torch.no_grad():
        for pair in pairs:
            change = (pair.up @ pair.down * scale).to(linear.weight)
            linear.weight[_rows(pair.part, linear.in_features)] += change


def lora_linear(linear: torch.nn.Linear, pairs: list[LoraPair], scale: float) -> torch.nn.Module:
    """A fused projection with its pairs beside it.

    Args:
        linear: `attn.qkv`, [3 D, D].
        pairs: of this block.
        scale: factor of every pair.

    Returns:
        A module with the same face; the pairs are its buffers.
    """
    import torch

    class LoraLinear(torch.nn.Module):
        """x -> W x + b, and scale * up (down x) added to the rows of each pair."""

        def __init__(self) -> None:
            super().__init__()
            self.base, self.in_features, self.out_features = linear, linear.in_features, linear.out_features
            for index, pair in enumerate(pairs):
                self.register_buffer(f"down_{index}", pair.down.to(linear.weight))
                self.register_buffer(f"up_{index}", (pair.up * scale).to(linear.weight))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer = self.base(x).clone()
            for index, pair in enumerate(pairs):
                down, up = getattr(self, f"down_{index}"), getattr(self, f"up_{index}")
                answer[..., _rows(pair.part, self.in_features)] += x @ down.T @ up.T
            return answer

    return LoraLinear()
