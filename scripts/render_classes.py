"""Renders classes of images with exact masks, to train an agent on data that is all ours (or in the public domain).

Every class draws one kind of object (its outline, its texture, how many) before one kind of background, with other
things that are not the object; from image to image place, size, turn, light, blur and noise change. Textures are
spectral noise, stripes, and, where scikit-image is installed, pieces of its CC0 and public-domain pictures.

    python scripts/render_classes.py --output runs/rendered --classes 40
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 384
OUTLINES = ("blob", "ellipse", "polygon", "ring", "stroke", "star")
PHOTOS = ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "rocket")
"""CC0 or public domain, as the docstrings of `skimage.data` say."""


@dataclass(frozen=True)
class Look:
    """How a surface looks.

    Args:
        kind: noise, stripes or a photo's name.
        colours: [3, 3] float RGB in [0, 1], dark to light.
        exponent: slope of the noise spectrum; larger is smoother.
        scale: period of the stripes, or size of the photo's piece, in pixels.
        angle: of the stripes, in radians.
    """

    kind: str
    colours: np.ndarray
    exponent: float
    scale: float
    angle: float


def draw_look(rng: np.random.Generator, photos: dict[str, np.ndarray]) -> Look:
    """A random surface."""
    kinds = ["noise", "noise", "stripes", *photos]
    base = rng.random(3)
    colours = np.clip(base + rng.normal(0, rng.uniform(0.05, 0.3), (3, 3)), 0, 1)
    if rng.random() < 0.4:  # many microscopes see no colour
        colours = np.repeat(colours.mean(axis=1, keepdims=True), 3, axis=1)
    kind = kinds[int(rng.integers(len(kinds)))]
    return Look(kind, colours, rng.uniform(0.5, 2.5), rng.uniform(6, 60), rng.uniform(0, np.pi))


def paint(look: Look, rng: np.random.Generator, photos: dict[str, np.ndarray]) -> np.ndarray:
    """[SIDE, SIDE, 3] float in [0, 1]: one sheet of a surface."""
    if look.kind in photos:
        photo = photos[look.kind]
        side = int(min(min(photo.shape[:2]), max(96, look.scale * 6)))
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in photo.shape[:2])
        piece = Image.fromarray(photo[top : top + side, left : left + side]).resize((SIDE, SIDE))
        tint = 0.6 + 0.4 * look.colours[2]
        return np.asarray(piece, dtype=np.float64) / 255 * tint
    value = _noise(rng, look.exponent)
    if look.kind == "stripes":
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        phase = (x * np.cos(look.angle) + y * np.sin(look.angle)) / look.scale + rng.random()
        value = 0.7 * (np.sin(2 * np.pi * phase) + 1) / 2 + 0.3 * value
    knots = np.linspace(0, 1, 3)
    return np.stack([np.interp(value, knots, look.colours[:, channel]) for channel in range(3)], axis=-1)


def _noise(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """[SIDE, SIDE] noise with a power-law spectrum, ranks spread over [0, 1]."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) / frequency**exponent
    value = np.fft.irfft2(spectrum, (SIDE, SIDE))
    low, high = np.quantile(value, [0.02, 0.98])
    return np.clip((value - low) / (high - low), 0, 1)


def outline(
    kind: str, centre: np.ndarray, radius: float, turn: float, rng: np.random.Generator, shape: np.ndarray
) -> np.ndarray:
    """[SIDE, SIDE] bool: one object.

    Args:
        kind: one of `OUTLINES`.
        centre: (x, y) in pixels.
        radius: in pixels.
        turn: in radians.
        rng: for the small differences between objects of a class.
        shape: [8] numbers in [0, 1] that belong to the class.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    dx, dy = x - centre[0], y - centre[1]
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    distance, angle = np.hypot(u, v), np.arctan2(v, u)
    if kind == "ellipse":
        return np.hypot(u, v / (0.4 + 0.6 * shape[0])) < radius
    if kind == "ring":
        return (distance < radius) & (distance > radius * (0.3 + 0.4 * shape[0]))
    if kind == "stroke":
        bend = radius * shape[1] * np.sin(u / max(radius, 1) * 2)
        return (np.abs(u) < 1.6 * radius) & (np.abs(v - bend) < radius * (0.12 + 0.2 * shape[0]))
    if kind == "polygon":
        corners = 3 + int(shape[0] * 4)
        sector = np.mod(angle, 2 * np.pi / corners) - np.pi / corners
        return distance * np.cos(sector) < radius * np.cos(np.pi / corners)
    if kind == "star":
        points = 4 + int(shape[0] * 5)
        return distance < radius * (0.65 + 0.35 * np.cos(points * angle))
    height = [(0.35 * shape[k] + rng.normal(0, 0.05)) / (k + 1) for k in range(4)]
    waves = sum(height[k] * np.cos((k + 2) * angle + 6 * shape[k + 4]) for k in range(4))
    return distance < radius * (1 + waves)


@dataclass(frozen=True)
class Kind:
    """What the objects of a class have in common."""

    outline: str
    shape: np.ndarray
    look: Look
    radius: float
    count: int


def draw_kind(rng: np.random.Generator, photos: dict[str, np.ndarray]) -> Kind:
    """A random kind of object."""
    count = int(rng.choice([1, 1, 2, 4, 8, 16]))
    radius = SIDE * rng.uniform(0.12, 0.3) / np.sqrt(count) * (1.4 if count == 1 else 1)
    return Kind(OUTLINES[int(rng.integers(len(OUTLINES)))], rng.random(8), draw_look(rng, photos), radius, count)


def place(kind: Kind, rng: np.random.Generator, free: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE] bool: all objects of one kind in one image, on free ground."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    zoom = rng.uniform(0.75, 1.3)
    for _ in range(max(1, int(rng.poisson(kind.count - 1)) + 1)):
        radius = kind.radius * zoom * rng.uniform(0.8, 1.2)
        centre = rng.uniform(0.1 * SIDE, 0.9 * SIDE, 2)
        one = outline(kind.outline, centre, radius, rng.uniform(0, 2 * np.pi), rng, kind.shape)
        if (one & free).sum() > 0.8 * one.sum():
            mask |= one & free
    return mask


def render(wanted: Kind, others: list[Kind], ground: Look, rng: np.random.Generator, photos: dict[str, np.ndarray]):
    """One image: (uint8 RGB, bool mask); the mask is never empty."""
    image, mask = paint(ground, rng, photos), np.zeros((SIDE, SIDE), dtype=bool)
    while mask.sum() < 200:
        mask = place(wanted, rng, np.ones((SIDE, SIDE), dtype=bool))
    taken = ndimage.binary_dilation(mask, iterations=3)
    layers = [(mask, wanted)]
    for other in others:
        extra = place(other, rng, ~taken)
        layers.append((extra, other))
        taken |= extra
    for area, kind in layers:
        soft = ndimage.gaussian_filter(area.astype(np.float64), 0.8)[..., None]
        image = image * (1 - soft) + paint(kind.look, rng, photos) * soft
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    light = 1 + rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y
    image = ndimage.gaussian_filter(image * light[..., None] * rng.uniform(0.8, 1.2), (rng.uniform(0, 1.2),) * 2 + (0,))
    image += rng.normal(0, rng.uniform(0, 0.04), image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), mask


def load_photos() -> dict[str, np.ndarray]:
    """Pictures of scikit-image that may be used freely; none where it is not installed."""
    try:
        import skimage
    except ImportError:
        return {}
    folder = Path(skimage.__file__).parent / "data"
    files = [next(folder.glob(f"{name}.*"), None) for name in PHOTOS]
    return {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in files if path is not None}


def main() -> int:
    """Writes the classes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--images", type=int, default=6, help="images of a class")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    photos = load_photos()
    for number in range(args.classes):
        rng = np.random.default_rng([args.seed, number])
        wanted, ground = draw_kind(rng, photos), draw_look(rng, photos)
        others = [draw_kind(rng, photos) for _ in range(int(rng.integers(0, 3)))]
        folder = args.output / f"rendered_{number:03d}"
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for index in range(args.images):
            image, mask = render(wanted, others, ground, rng, photos)
            Image.fromarray(image).save(folder / "images" / f"{index:02d}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{index:02d}.png")
    licence = "ours; textures from scikit-image's CC0 and public-domain pictures"
    about = {"name": "rendered", "license": licence, "photos": sorted(photos)}
    (args.output / "source.json").write_text(json.dumps(about, indent=1))
    print(f"{args.classes} classes of {args.images} images in {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
