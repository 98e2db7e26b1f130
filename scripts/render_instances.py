"""Renders images of many objects with one label each: `python scripts/render_instances.py --output runs/instances`.

Four kinds: gas bubbles before a bright screen, pores in a polished section, fluorescent cells, and packed grains. Size
distribution, density, overlap, light, focus, contrast and noise vary. A kind's look (grey levels, texture, median size)
is drawn once, so that its train and test images show one material; the images themselves have seeds of their own, and
train and test share none. The same seed gives the same bytes (with the same NumPy, SciPy and Pillow).

What is written, in the layout that `gpoa benchmark --instances` and `gpoa train` read:

    <output>/{train,test}/<kind>/images/<id>.png   8-bit grey
    <output>/{train,test}/<kind>/labels/<id>.png   uint16, 0 background, 1 to n the objects; the upper one owns a pixel
    <output>/{train,test}/<kind>/masks/<id>.png    0/255, all objects

Recipe: render once, tune and train on `train/`, report on `test/`; a second `--seed` gives other materials.

Legend: `H, W` image rows and columns; grey values run from 0 to 1 until they are written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, spatial

Size = tuple[int, int]
WAVES = 4
"""Harmonics of an irregular outline."""


@dataclass(frozen=True)
class Look:
    """What the images of one material have in common.

    Args:
        median: median radius in pixels.
        spread: deviation of the radii's logarithm.
        density: share of the image that objects cover, before they overlap.
        overlap: how far two objects may reach into each other, as a share of the sum of their radii.
        elongation: largest ratio of the axes.
        roughness: deviation of the outline, as a share of the radius.
        background, foreground: grey levels.
        texture: deviation of the grey level inside of objects and of the background.
        noise: deviation of the noise.
        blur: deviation of the sharpest focus in pixels.
        defocus: the largest additional blur of a single object in pixels.
    """

    median: float
    spread: float
    density: float
    overlap: float
    elongation: float
    roughness: float
    background: float
    foreground: float
    texture: float
    noise: float
    blur: float
    defocus: float


@dataclass(frozen=True)
class Shape:
    """One object: centre (x, y) and radius in pixels, ratio of its axes, turn in radians, and its outline's waves."""

    x: float
    y: float
    radius: float
    ratio: float
    turn: float
    height: np.ndarray
    phase: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered image [H, W] uint8 and its objects [H, W] uint16."""

    image: np.ndarray
    labels: np.ndarray


def draw_look(kind: str, rng: np.random.Generator) -> Look:
    """The look of a material.

    Args:
        kind: one of `KINDS`.
        rng: source of everything random.
    """
    wide = {"bubbles": (6, 16), "pores": (4, 12), "cells": (7, 16), "grains": (9, 20)}[kind]
    dark_objects = kind == "pores" or (kind == "bubbles" and rng.random() < 0.5)
    level, contrast = rng.uniform(0.35, 0.65), rng.uniform(0.18, 0.4)
    sign = -1 if dark_objects else 1
    return Look(
        median=rng.uniform(*wide),
        spread=rng.uniform(0.2, 0.55),
        density={"bubbles": rng.uniform(0.1, 0.35), "pores": rng.uniform(0.06, 0.25),
                 "cells": rng.uniform(0.12, 0.4), "grains": rng.uniform(0.5, 0.8)}[kind],
        overlap={"bubbles": rng.uniform(0.1, 0.35), "pores": 0.0, "cells": rng.uniform(0.05, 0.25), "grains": 0.1}[
            kind
        ],
        elongation={"bubbles": 1.25, "pores": 2.0, "cells": 1.6, "grains": 1.5}[kind],
        roughness={"bubbles": 0.01, "pores": 0.12, "cells": 0.05, "grains": 0.06}[kind],
        background=level - sign * contrast / 2,
        foreground=level + sign * contrast / 2,
        texture=rng.uniform(0.01, 0.06),
        noise=rng.uniform(0.01, 0.05),
        blur=rng.uniform(0.5, 1.2),
        defocus=rng.uniform(0.0, 2.0) if kind in ("bubbles", "cells") else 0.0,
    )


def place(look: Look, size: Size, rng: np.random.Generator) -> list[Shape]:
    """Objects at random places, at most `look.overlap` into each other, until the density is reached or none fits.

    Args:
        look: of the material.
        size: (H, W).
        rng: source of everything random.

    Returns:
        Large ones first, so that small ones are drawn on top.
    """
    wanted = look.density * size[0] * size[1]
    radii: list[float] = []
    while sum(np.pi * r * r for r in radii) < wanted:
        radii.append(float(np.clip(look.median * np.exp(rng.normal(0, look.spread)), 2.5, min(size) / 4)))
    found: list[Shape] = []
    spots = np.empty((0, 3))
    for radius in sorted(radii, reverse=True):
        for _ in range(60):
            x, y = rng.uniform(0, size[1]), rng.uniform(0, size[0])
            near = (1 - look.overlap) * (radius + spots[:, 2])
            if (np.hypot(spots[:, 0] - x, spots[:, 1] - y) >= near).all():
                spots = np.vstack([spots, (x, y, radius)])
                found.append(_shape(look, x, y, radius, rng))
                break
    return found


def _shape(look: Look, x: float, y: float, radius: float, rng: np.random.Generator) -> Shape:
    height = rng.normal(0, look.roughness, WAVES) / np.arange(1, WAVES + 1)
    ratio = rng.uniform(1, look.elongation)
    return Shape(x, y, radius, ratio, rng.uniform(0, np.pi), height, rng.uniform(0, 2 * np.pi, WAVES))


def depth_map(shape: Shape, size: Size, margin: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """How deep each pixel of a window lies inside of an object.

    Args:
        shape: the object.
        size: (H, W) of the image.
        margin: pixels around the object that the window holds as well.

    Returns:
        (the window, [h, w] float: 1 at the centre, 0 on the outline, negative outside, in units of the radius).
    """
    reach = shape.radius * np.sqrt(shape.ratio) * 1.4 + margin
    rows = slice(max(0, int(shape.y - reach)), min(size[0], int(shape.y + reach) + 2))
    columns = slice(max(0, int(shape.x - reach)), min(size[1], int(shape.x + reach) + 2))
    y, x = np.mgrid[rows, columns]
    x, y = x - shape.x, y - shape.y
    cos, sin, root = np.cos(shape.turn), np.sin(shape.turn), np.sqrt(shape.ratio)
    u, v = (x * cos + y * sin) / root, (y * cos - x * sin) * root
    angle = np.arctan2(v, u)
    waves = sum(h * np.cos((k + 2) * angle + p) for k, (h, p) in enumerate(zip(shape.height, shape.phase, strict=True)))
    return (rows, columns), 1 - np.hypot(u, v) / (shape.radius * (1 + waves))


def smooth_noise(size: Size, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """[H, W] noise of deviation 1, smooth over `sigma` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(size), sigma, mode="reflect")
    return noise / max(float(noise.std()), 1e-9)


def render(kind: str, look: Look, size: Size, rng: np.random.Generator) -> Scene:
    """Renders one image.

    Args:
        kind: one of `KINDS`.
        look: of the material.
        size: (H, W).
        rng: source of everything random.

    Returns:
        The scene; objects of which nothing is seen have no label.
    """
    light = 1 + 0.12 * smooth_noise(size, max(size) / 5, rng)
    ground = look.background * light + look.texture * smooth_noise(size, rng.uniform(1.5, 6), rng)
    shapes = place(look, size, rng)
    picture, labels = KINDS[kind](look, ground, light, shapes, rng)
    picture = ndimage.gaussian_filter(picture, look.blur) + rng.normal(0, look.noise, size)
    used = np.unique(labels[labels > 0])
    numbers = np.zeros(len(shapes) + 1, dtype=np.uint16)
    numbers[used] = np.arange(1, len(used) + 1)
    return Scene((np.clip(picture, 0, 1) * 255).round().astype(np.uint8), numbers[labels])


def _blend(picture: np.ndarray, window: tuple[slice, slice], cover: np.ndarray, body: np.ndarray) -> None:
    picture[window] = picture[window] * (1 - cover) + body * cover


def _separate(
    look: Look, ground: np.ndarray, light: np.ndarray, shapes: list[Shape], rng: np.random.Generator,
    body_of: Callable[[np.ndarray, Shape, tuple[slice, slice]], np.ndarray], opacity: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws objects one after the other, each with the grey levels that `body_of` gives it."""
    picture, labels = ground.copy(), np.zeros(ground.shape, dtype=np.int64)
    for number, shape in enumerate(shapes, start=1):
        blur = rng.uniform(0, look.defocus) if rng.random() < 0.4 else 0.0
        window, depth = depth_map(shape, ground.shape, 3 * blur + 2)
        cover = np.clip(depth * shape.radius + 0.5, 0, 1)
        labels[window][cover >= 0.5] = number
        body = body_of(depth, shape, window)
        if blur > 0:
            cover, body = ndimage.gaussian_filter(cover, blur), ndimage.gaussian_filter(body, blur)
        _blend(picture, window, opacity * cover, body)
    return picture, labels


def _bubbles(
    look: Look, ground: np.ndarray, light: np.ndarray, shapes: list[Shape], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A dark rim around a bright middle where objects are brighter; dark discs with a highlight where not."""
    rim = 0.35 if look.foreground > look.background else 0.8

    def body(depth: np.ndarray, shape: Shape, window: tuple[slice, slice]) -> np.ndarray:
        dark = np.clip(1 - depth / rim, 0, 1) ** 0.7
        middle = max(look.foreground, look.background) * rng.uniform(0.9, 1.1)
        grey = middle - dark * abs(look.foreground - look.background) * 1.6
        y, x = np.mgrid[window]
        spot = np.hypot(x - shape.x + 0.3 * shape.radius, y - shape.y + 0.3 * shape.radius) / (0.18 * shape.radius)
        return (grey + 0.35 * np.exp(-(spot**2))) * light[window]

    return _separate(look, ground, light, shapes, rng, body, 0.92)


def _pores(
    look: Look, ground: np.ndarray, light: np.ndarray, shapes: list[Shape], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Dark holes with a bright edge on one side, in a section of grains of slightly different grey."""
    points = rng.uniform(0, 1, (60, 2)) * ground.shape
    grid = np.stack(np.mgrid[: ground.shape[0], : ground.shape[1]], axis=-1).reshape(-1, 2)
    phase = spatial.cKDTree(points).query(grid)[1].reshape(ground.shape)
    ground = ground + rng.normal(0, 0.04, len(points))[phase]

    def body(depth: np.ndarray, shape: Shape, window: tuple[slice, slice]) -> np.ndarray:
        y, x = np.mgrid[window]
        side = np.cos(np.arctan2(y - shape.y, x - shape.x) - 0.8)
        edge = np.exp(-((depth / 0.2) ** 2)) * 0.15 * np.clip(side, 0, 1)
        return (look.foreground - 0.12 * np.clip(depth, 0, 1) + edge) * light[window]

    return _separate(look, ground, light, shapes, rng, body, 1.0)


def _cells(
    look: Look, ground: np.ndarray, light: np.ndarray, shapes: list[Shape], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Bright bodies of uneven brightness with chromatin-like spots; where two overlap, their light adds up a little."""
    spots = smooth_noise(ground.shape, max(1.5, look.median / 5), rng)

    def body(depth: np.ndarray, shape: Shape, window: tuple[slice, slice]) -> np.ndarray:
        height = (look.foreground - look.background) * rng.uniform(0.6, 1.3)
        return ground[window] + height * (0.75 + 0.25 * np.clip(depth * 2, 0, 1)) + 1.5 * look.texture * spots[window]

    return _separate(look, ground, light, shapes, rng, body, 0.95)


def _grains(
    look: Look, ground: np.ndarray, light: np.ndarray, shapes: list[Shape], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Packed grains, each shaded like a body and flattened where it touches another; the gaps are in shadow."""
    best = np.full(ground.shape, 0.0)
    second = np.full(ground.shape, 0.0)
    labels = np.zeros(ground.shape, dtype=np.int64)
    slope = np.zeros(ground.shape)
    for number, shape in enumerate(shapes, start=1):
        grown = Shape(shape.x, shape.y, shape.radius * 1.25, shape.ratio, shape.turn, shape.height, shape.phase)
        window, depth = depth_map(grown, ground.shape, 2)
        depth = depth * grown.radius
        here = best[window]
        wins = depth > here
        second[window] = np.where(wins, here, np.maximum(second[window], depth))
        y, x = np.mgrid[window]
        tilt = ((x - shape.x) * 0.6 + (y - shape.y) * 0.8) / grown.radius
        slope[window] = np.where(wins, tilt, slope[window])
        labels[window] = np.where(wins, number, labels[window])
        best[window] = np.where(wins, depth, here)
    gap = best - second
    labels[gap < rng.uniform(0.8, 1.8)] = 0
    tone = rng.normal(0, 0.08, len(shapes) + 1)
    texture = smooth_noise(ground.shape, 1.2, rng)
    body = (look.foreground + tone[labels] - 0.12 * slope + look.texture * texture) * light
    body *= 0.7 + 0.3 * np.clip(gap / (0.5 * look.median), 0, 1)
    cover = ndimage.gaussian_filter((labels > 0).astype(float), 0.6)
    return ground * (1 - cover) + body * cover, labels


KINDS = {"bubbles": _bubbles, "pores": _pores, "cells": _cells, "grains": _grains}


def save_scene(scene: Scene, folder: Path, stem: str) -> None:
    """Writes `images/`, `labels/` and `masks/<stem>.png` below a folder."""
    arrays = {"images": scene.image, "labels": scene.labels, "masks": (scene.labels > 0).astype(np.uint8) * 255}
    for name, array in arrays.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / name / f"{stem}.png", optimize=True)


def parse_size(text: str) -> Size:
    """Reads "HxW" as (H, W); raises `argparse.ArgumentTypeError` where it is not two whole numbers from 32."""
    height, separator, width = text.partition("x")
    if not (separator and height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 32):
        raise argparse.ArgumentTypeError(f"expected HxW in pixels, each from 32, such as 384x512, got {text!r}")
    return int(height), int(width)


def main(argv: list[str] | None = None) -> int:
    """Renders the sets; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/instances"))
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--train", type=int, default=6, help="training images a kind")
    parser.add_argument("--test", type=int, default=6, help="test images a kind")
    parser.add_argument("--size", type=parse_size, default=(384, 512), help="HxW in pixels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    for kind in args.kinds:
        looks, train, test = np.random.SeedSequence([args.seed, list(KINDS).index(kind)]).spawn(3)
        look = draw_look(kind, np.random.default_rng(looks))
        for part, seeds, count in (("train", train, args.train), ("test", test, args.test)):
            for number, seed in enumerate(seeds.spawn(count)):
                scene = render(kind, look, args.size, np.random.default_rng(seed))
                save_scene(scene, args.output / part / kind, f"{number:03d}")
    print(f"{len(args.kinds)} kinds, {args.train} training and {args.test} test images each, in {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
