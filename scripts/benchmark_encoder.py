"""Measures image encoders: the library's own forward pass beside ours (attention through
`scaled_dot_product_attention`, see `gpoa.segmenters.fast_encoder`), in float32 and in reduced types.

    python scripts/benchmark_encoder.py      # a ViT-B of SAM with random weights, and what is installed
    python scripts/benchmark_encoder.py --twins vit_b,vit_l --repeats 3 --types float32,bfloat16

A twin has the shape of a published model and random weights. Calls are interleaved, so that another process slows all
of them alike; the shortest of the repeats counts. With CUDA, also in batches, and with the memory that an image takes.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gpoa.errors import GpoaError
from gpoa.features.hf_vit import HfVit
from gpoa.models import store
from gpoa.models.hf_loading import import_transformers
from gpoa.models.sam_modules import import_part
from gpoa.models.zoo import ZOO
from gpoa.pipeline.backbones import resolve_device
from gpoa.runtime.machine import keep_freed_memory
from gpoa.runtime.precision import keep_norms, reduced
from gpoa.segmenters.fast_encoder import fast_attention
from gpoa.segmenters.mobile_sam import onnx_encoder, torch_encoder
from gpoa.segmenters.registry import SEGMENTERS


@dataclass(frozen=True)
class Subject:
    """An encoder to measure.

    Args:
        name: for the table.
        build: makes the library's module, or for MobileSAM's encoder, which no library has, gives the path of its
            graph.
        side: of its square input, in pixels.
    """

    name: str
    build: Callable[[], torch.nn.Module | Path]
    side: int = 1024


COLUMNS = (
    "encoder",
    "batch",
    "forward",
    "ms an image, least",
    "median",
    "times as fast",
    "mean error / deviation",
    "MB an image",
)


def _random_sam(architecture: str) -> torch.nn.Module:
    """An image encoder of `segment_anything`, its relative positions drawn, too (the library starts them at zero)."""
    return _drawn(import_part("build_sam").sam_model_registry[architecture]().image_encoder)


def _random_tiny() -> torch.nn.Module:
    """Two blocks, for tests of this script."""
    settings = {"img_size": 64, "embed_dim": 16, "depth": 2, "num_heads": 2, "out_chans": 8, "use_rel_pos": True}
    return _drawn(import_part("modeling").ImageEncoderViT(**settings, window_size=3, global_attn_indexes=(1,)))


def _drawn(encoder: torch.nn.Module) -> torch.nn.Module:
    for name, value in encoder.named_parameters():
        if "rel_pos" in name or name == "pos_embed":
            torch.nn.init.normal_(value, std=0.05)
    return encoder


def _random_dinov2(width: int, depth: int, heads: int) -> torch.nn.Module:
    library = import_transformers()
    config = library.Dinov2Config(hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads, image_size=518)
    return library.Dinov2Model(config)


def _random_sam2() -> torch.nn.Module:
    """The vision encoder of SAM 2 in the library's default shape (tiny)."""
    library = import_transformers()
    return library.Sam2Model(library.Sam2Config()).vision_encoder


TWINS = {
    "tiny": Subject("tiny", _random_tiny, 64),
    **{name: Subject(f"SAM {name}, twin", partial(_random_sam, name)) for name in ("vit_b", "vit_l", "vit_h")},
    "sam2": Subject("SAM 2 tiny, twin", _random_sam2),
    "dinov2-small": Subject("DINOv2 S, twin", partial(_random_dinov2, 384, 12, 6), 448),
    "dinov2-base": Subject("DINOv2 B, twin", partial(_random_dinov2, 768, 12, 12), 448),
    "dinov2-large": Subject("DINOv2 L, twin", partial(_random_dinov2, 1024, 24, 16), 448),
}


def installed(checkpoints: str | None) -> list[Subject]:
    """Encoders that run on torch and whose weights lie in the checkpoints folder."""
    root, found = store.checkpoints_root(checkpoints), []
    for name, model in ZOO.items():
        folder = root / name
        if (folder / "encoder.onnx").is_file():
            found.append(Subject(name, lambda folder=folder: folder / "encoder.onnx"))
        if not (folder / "config.json").is_file() and not list(folder.glob("*.pth")):
            continue
        if model.role == "features":
            found.append(Subject(name, lambda folder=folder: HfVit(folder, "", 0, (1,))._load(), 448))
        elif name in SEGMENTERS:
            found.append(Subject(name, lambda name=name, folder=folder: _encoder_of(name, folder)))
    return found


def _encoder_of(name: str, folder: Path) -> torch.nn.Module:
    """A segmenter's image encoder as its library made it."""
    model = SEGMENTERS[name](folder, "", "cpu").model
    encoder = getattr(model, "vision_encoder", None) or model.image_encoder
    for module in encoder.modules():
        module.__dict__.pop("forward", None)  # ours
    return encoder


def _last(answer: object) -> torch.Tensor:
    """The tensor that an encoder hands on."""
    return answer if isinstance(answer, torch.Tensor) else answer.last_hidden_state


def ways_of(subject: Subject, types: list[str], device: str) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """The library (for MobileSAM: ONNX Runtime, on the CPU) and ours in every type; the library's float32 first."""
    torch.manual_seed(0)
    made, ways = subject.build(), {}
    if isinstance(made, Path):
        ways["ONNX Runtime, float32"] = partial(_run, onnx_encoder(made), "cpu", "float32")
        return ways | {
            f"ours, {name}": partial(_run, torch_encoder(made, device, name), device, "float32") for name in types
        }
    module = made.eval().to(device)
    for dtype in types:
        ours = keep_norms(fast_attention(copy.deepcopy(module)), dtype)
        for name, encoder in (("library", module), ("ours", ours)):
            ways[f"{name}, {dtype}"] = partial(_run, encoder, device, dtype)
    return ways


def _run(encoder: torch.nn.Module, device: str, dtype: str, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), reduced(device, dtype):
        made = _last(encoder(pixels.to(device))).float()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return made


def measure(subject: Subject, types: list[str], batches: list[int], device: str, repeats: int) -> None:
    """Prints one encoder's rows."""
    ways = ways_of(subject, types, device)
    generator, first = torch.Generator().manual_seed(0), None
    for batch in batches:
        pixels = torch.randn(batch, 3, subject.side, subject.side, generator=generator).to(device)
        expected, spent = next(iter(ways.values()))(pixels), {name: [] for name in ways}
        notes = {name: _compare(way, pixels, expected, device) for name, way in ways.items()}
        for _ in range(repeats):
            for name, way in ways.items():
                began = time.perf_counter()
                way(pixels)
                spent[name].append((time.perf_counter() - began) * 1e3 / batch)
        for name, times in spent.items():
            first = min(times) if first is None else first
            numbers = f"{min(times):.1f} | {np.median(times):.1f} | {first / min(times):.2f}"
            print(f"| {subject.name} | {batch} | {name} | {numbers} | {notes[name]} |", flush=True)


def _compare(way: Callable, pixels: torch.Tensor, expected: torch.Tensor, device: str) -> str:
    """How far the output is from the library's in float32, and the memory of an image on CUDA."""
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
    made = way(pixels)
    peak = f"{(torch.cuda.max_memory_allocated(device) - held) / len(pixels) / 2**20:.0f}" if cuda else "-"
    return f"{float((made.to(expected) - expected).abs().mean() / expected.std()):.1e} | {peak}"


def main() -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--twins", default="vit_b", help=f"of {', '.join(TWINS)}; default: vit_b; '' is none")
    parser.add_argument("--types", default=None, help="default: float32,bfloat16, on CUDA also float16")
    parser.add_argument("--batches", default=None, help="images a call; default: 1, on CUDA 1,4,16")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--repeats", type=int, default=1, help="calls of each (default: 1)")
    parser.add_argument("--threads", type=int, default=None, help="of a CPU; default: torch's")
    parser.add_argument("--twins-only", action="store_true", help="pass over what is installed")
    args = parser.parse_args()
    unknown = [name for name in filter(None, args.twins.split(",")) if name not in TWINS]
    if unknown or args.repeats < 1:
        parser.error(f"--twins {unknown[0]}: take {', '.join(TWINS)}" if unknown else "--repeats: at least 1")
    try:
        device = resolve_device(args.device)
    except GpoaError as error:
        parser.error(str(error))
    keep_freed_memory()  # as gpoa does
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    cuda = device.startswith("cuda")
    types = (args.types or ("float32,bfloat16,float16" if cuda else "float32,bfloat16")).split(",")
    batches = [int(size) for size in (args.batches or ("1,4,16" if cuda else "1")).split(",")]
    where = torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    print(f"{where}; torch {torch.__version__}; speed relative to the first row of each encoder\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    subjects = [TWINS[name] for name in filter(None, args.twins.split(","))]
    for subject in subjects + ([] if args.twins_only else installed(None)):
        measure(subject, types, batches, device, args.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
