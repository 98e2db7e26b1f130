"""Let an agent click on images: from your first click, from one reference image and its mask, or from a word.

Writes masks/NAME.png (0/255, original size) and clicks.json to --output, and with --trace a picture of what was tried.
With --truth the Dice after each click is printed; the truth is read after the masks are final.

examples:
  gpoa click photo.jpg --first-click 212,140 --output out/
  gpoa click photo.jpg --first-click 212,140 --clicks 8 --agent runs/clicks/agent.pt --trace --output out/
  gpoa click images/ --reference ref.png --mask ref_mask.png --truth masks/ --output out/
  gpoa click images/ --text polyp --clip clip-vit-base-patch16/ --output out/
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gpoa.cli.common import CacheArgs, build_segmenter, parse
from gpoa.config import GpoaConfig
from gpoa.datasets.options import MaskOptions
from gpoa.errors import ConfigError, GpoaError

if TYPE_CHECKING:
    from gpoa.envs.click_episode import Click
    from gpoa.pipeline.click_run import ClickedImage
    from gpoa.types import Sample


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa click`."""

    images: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Images to click on: folder(s) or files."""
    output: Path = Path("clicked")
    """Output folder."""
    first_click: str | None = None
    """x,y of a click on the object in original pixels; for a single image."""
    reference: tuple[Path, ...] = ()
    """Reference image(s), which say where the object is likely."""
    mask: tuple[Path, ...] = ()
    """Mask of each reference image (non-zero = object)."""
    text: str | None = None
    """Name of the object, instead of a reference; needs --clip."""
    clip: Path | None = None
    """Folder of a CLIP of transformers, for --text."""
    clicks: int = 5
    """Mask decoder calls per image, the first click's included."""
    agent: str = "prior"
    """prior (greedy, without learning), sam, random, or a file that `gpoa train clicks` wrote."""
    truth: Path | None = None
    """Folder of true masks, for the Dice after each click."""
    trace: bool = False
    """Write pictures of what was tried to traces/."""
    json: bool = False
    """Print the result as JSON."""
    mask_options: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    args = parse(Args, "click", __doc__, argv)
    from gpoa.datasets.folder import find_samples
    from gpoa.pipeline.click_run import make_agent
    from gpoa.pipeline.outputs import prepare_folder

    if not args.images:
        raise ConfigError("no image; give files or folders, for example `gpoa click photo.jpg --first-click 212,140`")
    if args.clicks < 1:
        raise ConfigError(f"--clicks {args.clicks}: must be at least 1")
    first, agent = _first_click(args.first_click), make_agent(args.agent)
    if args.text is not None and args.clip is None:
        raise ConfigError("--text needs --clip, a folder with a CLIP model of transformers")
    if args.text is not None and args.reference:
        raise ConfigError("--text and --reference both say what the object is; give one of them")
    samples = find_samples(args.images)
    if first is not None and len(samples) != 1:
        raise ConfigError(f"--first-click belongs to one image, but {len(samples)} are given")
    prepare_folder(args.output)
    pipeline = build_segmenter(args.config, args.cache)
    if args.reference or args.mask:
        pipeline.fit(args.reference, args.mask, args.mask_options)
    semantic = None
    if args.text is not None and args.clip is not None:
        from gpoa.features.text_map import TextMap

        semantic = TextMap.load(args.clip, args.text, pipeline.backbones.device)
    records, failed = [], 0
    for sample in samples:
        try:
            records.append(_one(args, pipeline, agent, sample, first, semantic))
        except GpoaError as error:
            failed += 1
            print(f"{sample.image_path.name}: {error}", file=sys.stderr)
    _store(args.output / "clicks.json", records)
    _report(records, args)
    return 1 if failed else 0


def _one(
    args: Args, pipeline: Any, agent: Any, sample: Sample, first: Click | None, semantic: Any
) -> dict[str, Any]:
    """One image: its files, and what is said of it."""
    from gpoa.datasets.mask_io import save_mask
    from gpoa.datasets.shots import to_pixels
    from gpoa.pipeline.click_run import click_image

    image = to_pixels(sample.image_path, args.config.reading)
    result = click_image(pipeline, image, agent, args.clicks, first, semantic)
    save_mask(args.output / "masks" / f"{sample.stem}.png", result.masks[-1])
    if args.trace:
        _store_trace(args.output / "traces", sample.stem, image, result)
    record: dict[str, Any] = {"image": sample.image_path.name, "clicks": [list(click) for click in result.clicks]}
    if args.truth is not None:
        record["dice"] = _score(args.truth, sample, result)
    return record


def _score(folder: Path, sample: Sample, result: ClickedImage) -> list[float]:
    """Dice after each click."""
    from gpoa.datasets.folder import pair_masks
    from gpoa.datasets.mask_io import load_mask
    from gpoa.envs.rewards import dice

    paired = pair_masks([sample.image_path], folder, allow_missing=True)
    if not paired or paired[0].mask_path is None:
        raise ConfigError(f"--truth {folder}: holds no mask of this image")
    truth = load_mask(paired[0].mask_path, result.masks[-1].shape, allow_empty=True)
    return [round(dice(mask, truth), 4) for mask in result.masks]


def _store(path: Path, records: list[dict[str, Any]]) -> None:
    """Writes clicks and scores."""
    from gpoa.runtime.atomic import encode_json, write_atomic

    write_atomic(path, encode_json(records, indent=1))


def _store_trace(folder: Path, stem: str, image: Any, result: ClickedImage) -> None:
    """Writes the picture of what was tried."""
    from gpoa.pipeline.outputs import save_picture
    from gpoa.viewer.traces import draw_steps, trace_sheet

    folder.mkdir(parents=True, exist_ok=True)
    save_picture(trace_sheet(draw_steps(image, result.steps)), folder / f"{stem}.png")


def _report(records: list[dict[str, Any]], args: Args) -> None:
    """Prints what was done."""
    if args.json:
        print(json.dumps(records))
        return
    for record in records:
        scores = " -> ".join(f"{one:.3f}" for one in record.get("dice", ()))
        print(f"{record['image']}: {len(record['clicks'])} clicks{', Dice ' + scores if scores else ''}")
    print(f"masks: {args.output / 'masks'}")


def _first_click(text: str | None) -> Click | None:
    """`x,y` as a click on the object."""
    from gpoa.envs.click_episode import Click

    if text is None:
        return None
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--first-click {text}: give x,y in pixels, such as 212,140") from error
    return Click(x, y, 1)
