"""Name the images of a folder that are worth labelling first: those that stand for the others best.

Needs no label. Prints the images, most useful first, and draws them on one sheet.

examples:
  gpoa suggest images/
  gpoa suggest images/ --count 3 --sheet suggested.jpg
  gpoa suggest images/ --given ref.png
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, ReadingArgs, open_cache, parse
from gpoa.config import GpoaConfig

SHOWN = ("folder", "count", "given", "sheet", "recursive", "json")
"""The options that `-h` prints."""


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa suggest`."""

    folder: tuple[Path, ...]
    """Images: folder(s) or files; may stand first, without --folder."""
    count: int = 3
    """How many images to name (also -n)."""
    given: tuple[Path, ...] = ()
    """Images of the folder that are labelled already: the others are chosen beside them."""
    sheet: Path | None = None
    """Picture of the suggested images; default: none."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    cache: CacheArgs = field(default_factory=CacheArgs)
    reading: Annotated[ReadingArgs, tyro.conf.arg(name="")] = field(default_factory=ReadingArgs)
    recursive: bool = False
    """Include subfolders."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status: 0, or 1 where an image could not be read."""
    first = next((place for place, word in enumerate(argv) if word.startswith("-")), len(argv))
    argv = ["--folder", *argv] if first else list(argv)
    args = parse(Args, "suggest", __doc__ or "", ["--count" if word == "-n" else word for word in argv], SHOWN)
    import sys

    from tqdm import tqdm

    from gpoa.datasets.pages import expand_pages
    from gpoa.datasets.targets import find_targets
    from gpoa.errors import ConfigError
    from gpoa.pipeline.backbones import Backbones
    from gpoa.pipeline.suggesting import LOOKED_AT, suggest, write_sheet

    if args.count < 1:
        raise ConfigError(f"--count {args.count}: at least 1")
    config = args.reading.applied(args.config)
    samples = expand_pages(find_targets(args.folder, args.recursive).samples, config.reading)
    strangers = [path for path in args.given if path.resolve() not in {one.image_path.resolve() for one in samples}]
    if strangers:
        raise ConfigError(f"--given {strangers[0]}: is none of the {len(samples)} images")
    backbones = Backbones(config, open_cache(args.cache))
    with tqdm(total=min(len(samples), LOOKED_AT), desc="gpoa suggest", unit="image", disable=None) as bar:
        found = suggest(backbones, samples, args.count, args.given, bar.update)
    if args.sheet is not None and found.samples:
        write_sheet(args.sheet, found, backbones)
    for line in found.failed:
        print(f"failed: {line}", file=sys.stderr)
    _print(found.samples, found.coverage, found.seen, args)
    return int(bool(found.failed))


def _print(samples: Sequence, coverage: Sequence[float], seen: int, args: Args) -> None:
    """The images, most useful first."""
    import json

    if args.json:
        rows = [{"image": str(one.image_path), "page": one.page, "coverage": round(value, 4)}
                for one, value in zip(samples, coverage, strict=True)]  # fmt: skip
        print(json.dumps({"images": rows, "seen": seen, "sheet": str(args.sheet or "")}, ensure_ascii=False))
        return
    for one, value in zip(samples, coverage, strict=True):
        page = "" if one.page is None else f" page {one.page}"
        print(f"{one.image_path}{page}   coverage {value:.3f}")
    print(f"of {seen} images; coverage is that of all images named up to there")
    if args.sheet is not None:
        print(f"sheet {args.sheet}")
