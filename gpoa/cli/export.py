"""Write the masks of a run in the forms that other programs read.

Objects with holes or several parts stay one object, and neighbours share their border. Formats: coco, yolo-seg, labels,
geojson, geotiff, imagej-rois, label-studio, cvat, csv, napari.

examples:
  gpoa export out/ --to coco
  gpoa export out/ --to yolo-seg label-studio --simplify 1
  gpoa export out/ --to imagej-rois --components --output rois/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gpoa.cli.common import parse

if TYPE_CHECKING:
    from gpoa.datasets.exporters.writing import Written

FormatName = Literal[
    "coco", "yolo-seg", "labels", "geojson", "geotiff", "imagej-rois", "label-studio", "cvat", "csv", "napari"
]


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa export`."""

    run: Path
    """Output folder of `gpoa run`; may stand first, without --run."""
    to: tuple[FormatName, ...]
    """Formats, one or several."""
    output: Path | None = None
    """Output folder; default: export/<format>/ in the run's folder."""
    simplify: float = 0.0
    """How far the border of a polygon may move, in pixels, for fewer points; 0 keeps every pixel's edge."""
    components: bool = False
    """Make each connected part of a mask (or class) an object of its own."""
    class_name: str = "object"
    """Name of the class, where the run names none."""
    rle: bool = False
    """COCO: run lengths instead of polygons."""
    images: Literal["link", "copy", "none"] = "link"
    """YOLO: link the images beside the labels, copy them, or neither."""
    images_from: Path | None = None
    """Folder of the images, where they are no longer where the run found them."""
    image_root: str = "/data/local-files/?d="
    """Label Studio: what comes before an image's name in its address."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status: 0, or 1 where an image could not be exported."""
    if argv and not argv[0].startswith("-"):
        argv = ["--run", *argv]
    args = parse(Args, "export", __doc__ or "", argv)
    from gpoa.datasets.exporters.collection import open_run, with_images
    from gpoa.datasets.exporters.registry import export
    from gpoa.datasets.exporters.writing import Options
    from gpoa.errors import ConfigError

    if not args.simplify >= 0:
        raise ConfigError(f"--simplify {args.simplify}: 0 or more pixels")
    collection = open_run(args.run, args.class_name, args.components)
    if args.images_from is not None:
        collection = with_images(collection, args.images_from)
    options = Options(args.simplify, args.rle, args.images, args.image_root)
    written: dict[str, tuple[Path, Written]] = {}
    for name in args.to:
        folder = args.run / "export" / name if args.output is None else args.output
        folder = folder / name if args.output is not None and len(args.to) > 1 else folder
        written[name] = (folder, export(collection, name, folder, options))
    _print(written, collection.notes, args.json)
    return int(any(one.failed for _, one in written.values()))


def _print(written: dict[str, tuple[Path, Written]], notes: Sequence[str], as_json: bool) -> None:
    """Says what was written, and what failed."""
    import json
    import sys

    if as_json:
        plain = {name: {"folder": str(folder), **_plain(one)} for name, (folder, one) in written.items()}
        print(json.dumps({**plain, "notes": list(notes)}, ensure_ascii=False))
        return
    for name, (folder, one) in written.items():
        print(f"{name}: {one.objects} objects in {one.images} images: {folder}")
        for line in one.notes:
            print(f"  {line}")
    for line in dict.fromkeys(line for _, one in written.values() for line in one.failed):
        print(f"failed: {line}", file=sys.stderr)
    for line in notes:
        print(line)


def _plain(one: Written) -> dict[str, object]:
    """As `--json` has it."""
    facts = {"images": one.images, "objects": one.objects, "failed": one.failed, "notes": one.notes}
    return {**facts, "files": [str(path) for path in one.files]}
