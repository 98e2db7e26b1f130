"""Measures SAM's mask decoder: the library's own, called once a prompt set as `SamPredictor.predict` does, beside ours
in float32 and in bfloat16 and the ONNX export on ONNX Runtime.

    python scripts/benchmark_decoder.py                            # on the coins that come with the repository
    python scripts/benchmark_decoder.py --bench ../shared/bench    # and how much bfloat16 changes masks and their IoU

Calls are interleaved, so that another process slows all of them alike; the shortest of the repeats counts. CPU ms are
those of all threads together. With CUDA, also prompt sets a second in batches of 64.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gpoa.config import GpoaConfig
from gpoa.datasets.image_io import load_image
from gpoa.evaluation.metrics import iou
from gpoa.evaluation.protocol import class_episodes, truth_of
from gpoa.geometry import to_sam_points
from gpoa.pipeline.image import ImagePipeline
from gpoa.segmenters.base import upscale_logits
from gpoa.segmenters.fast_decoder import tokens_of
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import ImageEmbedding, PointPrompts, Sample

COINS = Path(__file__).resolve().parent.parent / "data" / "coins"
BATCH = 64

Decode = Callable[[PointPrompts], np.ndarray]
"""One prompt set -> its four masks [4, 256, 256], or one."""


def library(segmenter: PromptableSegmenter, embedding: ImageEmbedding) -> Decode:
    """The modules of `segment_anything`, as `SamPredictor.predict_torch` calls them."""
    decoder, device = segmenter.decoder, segmenter.device
    features = embedding.features.to(device)

    def decode(prompts: PointPrompts) -> np.ndarray:
        size, points, boxes, masks = embedding.original_size, None, None, None
        if len(prompts.point_labels):
            coords = torch.from_numpy(to_sam_points(prompts.point_coords, size))[None].to(device)
            points = coords, torch.from_numpy(prompts.point_labels)[None].to(device)
        if prompts.box is not None:
            boxes = torch.from_numpy(to_sam_points(prompts.box.reshape(2, 2), size).reshape(1, 4)).to(device)
        if prompts.mask_prompt is not None:
            masks = torch.from_numpy(prompts.mask_prompt)[None, None].to(device)
        with torch.no_grad():
            sparse, dense = decoder.prompt_encoder(points=points, boxes=boxes, masks=masks)
            image_pe = decoder.prompt_encoder.get_dense_pe()
            made, _ = decoder.mask_decoder.predict_masks(features, image_pe, sparse, dense)
        return made[0].cpu().numpy()

    return decode


def ours(decoder: PromptableSegmenter, embedding: ImageEmbedding) -> Decode:
    """`PromptableSegmenter.decode`, what its decoder keeps of the image at hand."""
    return lambda prompts: decoder.decode(embedding, [prompts], all_outputs=True).low_res_logits[0]


def exported(path: Path, embedding: ImageEmbedding, threads: int) -> Decode:
    """The ONNX export, which hands out one mask and brings it to the image's size within the call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    features = embedding.features.cpu().numpy()

    def decode(prompts: PointPrompts) -> np.ndarray:
        coords, labels = tokens_of(prompts, embedding.original_size)
        mask = np.zeros((256, 256), np.float32) if prompts.mask_prompt is None else prompts.mask_prompt
        inputs = {
            "image_embeddings": features,
            "point_coords": coords[None],
            "point_labels": labels[None].astype(np.float32),
            "mask_input": mask[None, None],
            "has_mask_input": np.array([prompts.mask_prompt is not None], np.float32),
            "orig_im_size": np.array(embedding.original_size, np.float32),
        }
        return session.run(["low_res_masks"], inputs)[0][0]

    return decode


def interleaved(ways: dict[str, Callable], prompts: object, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) milliseconds of every call of every way."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way(prompts)
    for _ in range(repeats):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way(prompts)
            spent[name].append(((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
    return spent


def agreement(ways: dict[str, Decode], cases: Sequence[PointPrompts]) -> dict[str, tuple[float, float]]:
    """(largest difference of a logit, mean IoU of the masks) of every way from the first, over prompt sets."""
    first, *_ = ways.values()
    want = [first(prompts) for prompts in cases]
    result = {}
    for name, way in ways.items():
        pairs = [
            (mine, theirs)
            for prompts, all_ in zip(cases, want, strict=True)
            for mine, theirs in zip(way(prompts), all_, strict=True)
        ]
        worst = max(float(np.abs(mine - theirs).max()) for mine, theirs in pairs)
        result[name] = worst, float(np.mean([iou(mine > 0, theirs > 0) for mine, theirs in pairs]))
    return result


def compare_speed(segmenter: ImagePipeline, decoders: dict[str, PromptableSegmenter], repeats: int) -> None:
    """Prints the table of one call, at one and at two threads."""
    image = load_image(sorted((COINS / "target_image").iterdir())[0])
    embedding, prompts = segmenter.backbones.embedding(image), segmenter.initial_prompts(image, "coins").prompts
    cases = {"points": replace(prompts, mask_prompt=None), "points and mask prompt": prompts}
    print(f"{len(prompts.point_labels)} points, {segmenter.backbones.device}\n")
    print("| threads | prompts | decoder | ms, least | median | CPU ms, least | logits differ by | masks' mean IoU |")
    print("|---|---|---|---|---|---|---|---|")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        ways = {"segment_anything": library(decoders["float32"], embedding)}
        ways |= {f"ours, {name}": ours(decoder, embedding) for name, decoder in decoders.items()}
        export = getattr(segmenter.backbones.segmenter.backend, "folder", Path()) / "decoder.onnx"
        if export.is_file():
            ways["ONNX Runtime"] = exported(export, embedding, threads)
        for title, case in cases.items():
            spent, near = interleaved(ways, case, repeats), agreement(ways, [case])
            for name, (worst, overlap) in near.items():
                wall, cpu = np.array(spent[name]).T
                times = f"{wall.min():.1f} | {np.median(wall):.1f} | {cpu.min():.1f}"
                print(f"| {threads} | {title} | {name} | {times} | {worst:.1e} | {overlap:.4f} |", flush=True)


def compare_throughput(segmenter: ImagePipeline, decoders: dict[str, PromptableSegmenter], repeats: int) -> None:
    """Prints prompt sets a second of a GPU in batches."""
    image = load_image(sorted((COINS / "target_image").iterdir())[0])
    embedding, prompts = segmenter.backbones.embedding(image), segmenter.initial_prompts(image, "coins").prompts
    plain = library(decoders["float32"], embedding)
    ways = {"segment_anything": lambda sets: [plain(one) for one in sets]}
    for name, decoder in decoders.items():
        ways[f"ours, {name}"] = lambda sets, one=decoder: one.decode(embedding, sets, all_outputs=True)
    print(f"\n| decoder, {BATCH} sets | sets a second |\n|---|---|")
    for name, spent in interleaved(ways, [prompts] * BATCH, repeats).items():
        print(f"| {name} | {BATCH / min(wall for wall, _ in spent) * 1e3:.0f} |", flush=True)


def compare_masks(bench: Path, decoders: dict[str, PromptableSegmenter], targets: int) -> None:
    """Prints how much a reduced type changes masks and their IoU with the truth, on the quick classes."""
    names = json.loads((bench / "split.json").read_text())["quick"]
    rows: dict[str, list[list[float]]] = {name: [] for name in list(decoders)[1:]}
    for name in names:
        for reference, others in class_episodes(bench / name, 1, targets):
            segmenter = ImagePipeline().fit(load_image(reference.image_path), truth_of(reference))
            for sample in others:
                for kind, numbers in changes(segmenter, sample, decoders).items():
                    rows[kind].append(numbers)
    print("\n| type | images | masks' mean IoU with float32 | least | IoU with the truth, float32 | change | largest |")
    print("|---|---|---|---|---|---|---|")
    for kind, numbers in rows.items():
        same, exact, reduced = np.array(numbers).T
        change = reduced - exact
        overlap, shift = f"{same.mean():.4f} | {same.min():.4f}", f"{change.mean():+.4f} | {np.abs(change).max():.4f}"
        print(f"| {kind} | {len(same)} | {overlap} | {exact.mean():.4f} | {shift} |")


def changes(
    segmenter: ImagePipeline, sample: Sample, decoders: dict[str, PromptableSegmenter]
) -> dict[str, list[float]]:
    """For every reduced type: IoU with float32's mask, IoU of both with the truth."""
    image, truth = load_image(sample.image_path), truth_of(sample)
    record, embedding = segmenter.initial_prompts(image, sample.stem), segmenter.backbones.embedding(image)
    if record.prompts.is_empty:
        return {}
    masks = {}
    for name, decoder in decoders.items():
        logits = decoder.decode(embedding, [record.prompts]).low_res_logits[0, 0]
        masks[name] = upscale_logits(logits, embedding.input_size, embedding.original_size) > 0
    first, *others = masks
    exact = iou(masks[first], truth)
    return {name: [iou(masks[name], masks[first]), exact, iou(masks[name], truth)] for name in others}


def main() -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, help="benchmark folder with split.json: also compare masks there")
    parser.add_argument("--targets", type=int, default=3, help="images a class of the benchmark (default: 3)")
    parser.add_argument("--repeats", type=int, default=20, help="calls of each decoder (default: 20)")
    parser.add_argument("--skip-speed", action="store_true", help="only compare masks")
    args = parser.parse_args()
    reference, mask = (next((COINS / f"reference_{kind}").iterdir()) for kind in ("image", "mask"))
    segmenter = ImagePipeline(GpoaConfig()).fit(reference, mask)
    device, backend = segmenter.backbones.device, segmenter.backbones.segmenter.backend
    types = ["float32", "bfloat16"] if device == "cpu" else ["float32", "bfloat16", "float16"]
    decoders = {name: PromptableSegmenter(backend, name, device) for name in types}
    for name, decoder in decoders.items():
        decoder.dtype = name
    if not args.skip_speed:
        compare_speed(segmenter, decoders, args.repeats)
        if device != "cpu":
            compare_throughput(segmenter, decoders, args.repeats)
    if args.bench is not None:
        compare_masks(args.bench, decoders, args.targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
