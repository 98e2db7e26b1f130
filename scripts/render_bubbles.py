"""Renders the shipped bubble set: `python scripts/render_bubbles.py --output data/bubbles`.

Gas bubbles in a liquid before a bright screen, as a high-speed camera sees them: a bubble refracts the light of its
outer part away, so it shows a dark rim around a bright middle, with the lamp's highlight on it. Lighting, focus, number
and size vary from image to image; dust, scratches, solid particles and the channel's wall are there to be confused
with. Masks are exact: they come from the same ellipses. The same seed gives the same bytes (with the same NumPy, SciPy
and Pillow).

Legend: `H, W` image rows and columns; grey values run from 0 to 255.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

SUPERSAMPLING = 4
NOISE_DEVIATION = 2.5
REFERENCE_BUBBLES = (3, 4)
TARGET_BUBBLES = (3, 9)


class Bubble(NamedTuple):
    """An ellipse, and how it shows.

    Args:
        x, y: centre in pixels.
        a, b: half axes in pixels.
        angle: of the first axis, in radians.
        blur: deviation of the defocus in pixels.
        depth: how dark the rim is, from 0 to 1.
    """

    x: float
    y: float
    a: float
    b: float
    angle: float
    blur: float
    depth: float


class Scene(NamedTuple):
    """A rendered image [H, W] uint8, its mask [H, W] bool and the bubbles in it."""

    image: np.ndarray
    mask: np.ndarray
    bubbles: list[Bubble]


def ellipse_radius(bubble: Bubble, size: tuple[int, int], factor: int = 1) -> np.ndarray:
    """Distance from a bubble's centre, in units of its own radius.

    Args:
        bubble: the ellipse.
        size: (H, W).
        factor: samples a pixel and axis.

    Returns:
        [H * factor, W * factor] float64; 1 on the outline.
    """
    y, x = np.mgrid[0 : size[0] * factor, 0 : size[1] * factor]
    x, y = (x + 0.5) / factor - 0.5 - bubble.x, (y + 0.5) / factor - 0.5 - bubble.y
    cos, sin = np.cos(bubble.angle), np.sin(bubble.angle)
    return np.hypot((x * cos + y * sin) / bubble.a, (y * cos - x * sin) / bubble.b)


def bubble_mask(bubbles: list[Bubble], size: tuple[int, int]) -> np.ndarray:
    """Union of the ellipses: pixels covered by half or more, [H, W] bool."""
    fine = np.zeros((size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING), dtype=bool)
    for bubble in bubbles:
        fine |= ellipse_radius(bubble, size, SUPERSAMPLING) <= 1
    blocks = fine.reshape(size[0], SUPERSAMPLING, size[1], SUPERSAMPLING)
    return blocks.mean(axis=(1, 3)) >= 0.5


def render_scene(rng: np.random.Generator, size: tuple[int, int], counts: tuple[int, int]) -> Scene:
    """Renders one image.

    Args:
        rng: source of everything random.
        size: (H, W).
        counts: fewest and most bubbles.

    Returns:
        The scene.
    """
    light = _background(rng, size)
    bubbles = _place_bubbles(rng, size, int(rng.integers(counts[0], counts[1] + 1)))
    picture = _draw_distractors(rng, light.copy())
    for bubble in sorted(bubbles, key=lambda bubble: -bubble.blur):
        picture = _draw_bubble(rng, picture, light, bubble)
    picture += rng.normal(0, NOISE_DEVIATION, size)
    return Scene(picture.round().clip(0, 255).astype(np.uint8), bubble_mask(bubbles, size), bubbles)


def _background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Uneven light of the screen: a lamp out of the middle, and soft clouds."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    lamp_x, lamp_y = rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.6)
    fall = rng.uniform(0.5, 1.2)
    light = rng.uniform(165, 215) * np.exp(-fall * ((x - lamp_x) ** 2 + (y - lamp_y) ** 2))
    clouds = ndimage.gaussian_filter(rng.normal(0, 1, size), max(size) / 12)
    return light + 6 * clouds / clouds.std()


def _place_bubbles(rng: np.random.Generator, size: tuple[int, int], count: int) -> list[Bubble]:
    """Draws bubbles that overlap a little at most; the first is large."""
    bubbles: list[Bubble] = []
    for _ in range(400):
        if len(bubbles) == count:
            break
        radius = rng.uniform(55, 85) if not bubbles else rng.choice([rng.uniform(40, 75), rng.uniform(20, 38)])
        flatness = rng.uniform(0.78, 1.0)
        x, y = rng.uniform(0.1, 0.9) * size[1], rng.uniform(0.12, 0.88) * size[0]
        gaps = [np.hypot(x - other.x, y - other.y) - 0.85 * (radius + other.a) for other in bubbles]
        if gaps and min(gaps) < 0:
            continue
        blur = rng.choice([rng.uniform(0.6, 1.2), rng.uniform(1.5, 3.0)], p=[0.75, 0.25])
        angle = rng.normal(0, 0.35)
        bubbles.append(Bubble(x, y, radius, radius * flatness, angle, blur, rng.uniform(0.72, 0.9)))
    return bubbles


def _draw_bubble(rng: np.random.Generator, picture: np.ndarray, light: np.ndarray, bubble: Bubble) -> np.ndarray:
    """Draws a bubble over the picture, out of focus by its blur."""
    radius = ellipse_radius(bubble, picture.shape)
    inside = np.clip((1 - radius) * bubble.b + 0.5, 0, 1)
    # Bright middle, dark from about half the radius on, a thin lighter seam at the very rim.
    edge = rng.uniform(0.42, 0.6)
    shade = 1 - bubble.depth * np.clip((radius - edge) / (0.86 - edge), 0, 1) ** 1.5
    shade += 0.25 * np.exp(-(((radius - 0.97) / 0.03) ** 2))
    body = light * shade * rng.uniform(0.95, 1.08)
    direction = rng.uniform(-2.6, -0.6)
    for turn, distance, width, strength in ((0.0, 0.7, 0.07, 190), (np.pi, 0.74, 0.11, 60)):
        x = bubble.x + distance * bubble.a * np.cos(direction + turn)
        y = bubble.y + distance * bubble.b * np.sin(direction + turn)
        spot = bubble._replace(
            x=x, y=y, a=width * bubble.a * 1.6, b=width * bubble.a, angle=direction + turn + np.pi / 2
        )
        body += strength * np.exp(-(ellipse_radius(spot, picture.shape) ** 2))
    inside = ndimage.gaussian_filter(inside, bubble.blur)
    body = ndimage.gaussian_filter(body, bubble.blur)
    see_through = 0.9  # what lies behind shines through a little
    return picture * (1 - see_through * inside) + body * see_through * inside


def _draw_distractors(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Draws what is no bubble: specks, scratches, solid particles out of focus, and sometimes the channel's wall."""
    height, width = picture.shape
    for _ in range(int(rng.integers(6, 16))):
        speck = Bubble(
            rng.uniform(0, width), rng.uniform(0, height), *rng.uniform(1.2, 3.5, 2), rng.uniform(0, 3), 0, 0
        )
        picture *= 1 - rng.uniform(0.3, 0.7) * np.exp(-(ellipse_radius(speck, picture.shape) ** 4))
    for _ in range(int(rng.integers(1, 4))):
        length, angle = rng.uniform(60, 220), rng.uniform(0, np.pi)
        scratch = Bubble(rng.uniform(0, width), rng.uniform(0, height), length / 2, 0.8, angle, 0, 0)
        picture *= 1 - rng.uniform(0.1, 0.3) * np.exp(-(ellipse_radius(scratch, picture.shape) ** 2))
    for _ in range(int(rng.integers(1, 4))):
        particle = Bubble(
            rng.uniform(0, width), rng.uniform(0, height), *rng.uniform(9, 20, 2), rng.uniform(0, 3), 0, 0
        )
        bumps = ndimage.gaussian_filter(rng.normal(0, 1, picture.shape), 6)
        solid = ellipse_radius(particle, picture.shape) + 0.25 * bumps / bumps.std() <= 1
        picture *= 1 - 0.75 * ndimage.gaussian_filter(solid.astype(float), rng.uniform(2, 4))
    if rng.random() < 0.5:
        wall = np.clip((np.arange(height) - height + rng.uniform(14, 30)) / 5, 0, 1)[:, None]
        picture = picture * (1 - 0.8 * wall)
    return picture


def save_scene(scene: Scene, folder: Path, kind: str, stem: str) -> None:
    """Writes `<kind>_image/<stem>.png` and `<kind>_mask/<stem>.png` below a folder."""
    for name, array in (("image", scene.image), ("mask", scene.mask.astype(np.uint8) * 255)):
        place = folder / f"{kind}_{name}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(place / f"{stem}.png", optimize=True)


def parse_size(text: str) -> tuple[int, int]:
    """Reads "HxW" as (H, W); raises `argparse.ArgumentTypeError` where it is not two positive whole numbers."""
    height, separator, width = text.partition("x")
    if not (separator and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"expected HxW in pixels, such as 480x640, got {text!r}")
    return int(height), int(width)


def main() -> int:
    """Renders the set; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("data/bubbles"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--size", type=parse_size, default=(480, 640), help="HxW in pixels")
    args = parser.parse_args()
    size = args.size
    seeds = np.random.SeedSequence(args.seed).spawn(args.targets + 1)
    save_scene(
        render_scene(np.random.default_rng(seeds[0]), size, REFERENCE_BUBBLES), args.output, "reference", "bubbles"
    )
    for number, seed in enumerate(seeds[1:], start=1):
        scene = render_scene(np.random.default_rng(seed), size, TARGET_BUBBLES)
        save_scene(scene, args.output, "target", f"bubbles_{number:02d}")
    print(f"1 reference and {args.targets} targets in {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
