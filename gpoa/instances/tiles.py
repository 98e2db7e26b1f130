"""Windows in which an image is seen at the scale at which objects are large enough, and who owns what lies in two.

Neighbouring windows overlap by twice a halo. Each owns its core; the cores cover the image without overlap, and an
object belongs to the window whose core holds its seed, so that an object of at most twice the halo is seen whole there.

Legend: sizes are (H, W), windows (rows, columns) slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpoa.instances.objects import Window
from gpoa.instances.sizes import SizeRange
from gpoa.types import Size

DIAMETERS = 16
"""A window's side in median diameters: an object is then two patches wide for DINOv2 at 448 px, and 64 px for SAM."""
SMALLEST_SIDE = 160
"""Windows are not smaller, in pixels: nothing is seen better by enlarging a picture of few pixels."""
SLACK = 1.4
"""An image that is longer than a window by less than this factor is seen whole."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One window of an image.

    Args:
        outer: what is looked at.
        core: what it owns.
    """

    outer: Window
    core: Window


def tile_side(sizes: SizeRange, asked: int | None = None) -> int:
    """The side of windows for objects of these sizes, in pixels.

    Args:
        sizes: in pixels of the image.
        asked: what the user asked for instead.
    """
    return asked if asked is not None else max(SMALLEST_SIDE, round(DIAMETERS * sizes.median))


def halo_for(sizes: SizeRange, side: int) -> int:
    """Pixels around a core: what a large object needs, a quarter of the window at most."""
    return int(min(np.ceil(0.75 * sizes.high) + 4, side // 4))


def tile_grid(size: Size, side: int, halo: int) -> list[Tile]:
    """Windows over an image, row by row.

    Args:
        size: (H, W).
        side: of a window; an image that is hardly longer is one window.
        halo: pixels by which a window reaches beyond its core; less than half of the side.

    Returns:
        At least one.
    """
    if max(size) <= SLACK * side:
        whole = slice(0, size[0]), slice(0, size[1])
        return [Tile(whole, whole)]
    rows, columns = (_cut(length, side, halo) for length in size)
    return [Tile((r[0], c[0]), (r[1], c[1])) for r in rows for c in columns]


def _cut(length: int, side: int, halo: int) -> list[tuple[slice, slice]]:
    """(window, core) along one axis."""
    if length <= side:
        return [(slice(0, length), slice(0, length))]
    count = int(np.ceil((length - 2 * halo) / (side - 2 * halo)))
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    cuts = [0, *((a + side + b) // 2 for a, b in itertools.pairwise(starts)), length]
    return [(slice(s, s + side), slice(a, b)) for s, a, b in zip(starts, cuts[:-1], cuts[1:], strict=True)]


def reference_tiles(labels: np.ndarray, tiles: Sequence[Tile], most: int) -> list[Tile]:
    """The windows of a reference that show most objects, and background beside them.

    Args:
        labels: [H, W] integer, 0 background.
        tiles: of the reference image.
        most: how many at most.

    Returns:
        The best ones first; none where no window holds both.
    """

    def worth(tile: Tile) -> int:
        part = labels[tile.outer]
        background = float((part == 0).mean())
        return len(np.unique(part[part != 0])) if 0.02 <= background < 1 else 0

    counted = sorted(((worth(tile), -place, tile) for place, tile in enumerate(tiles)), key=lambda one: one[:2])
    return [tile for count, _, tile in reversed(counted) if count > 0][:most]
