"""Pure drawing: masks and points on images, and contact sheets. Colours are Okabe and Ito's (safe for colour-blind
eyes).

Legend: images are [H, W, 3] uint8 RGB, masks [H, W] bool, points (x, y) in original pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gpoa.types import PointPrompts

MASK_COLOR = (86, 180, 233)
CONTOUR_COLOR = (240, 228, 66)
POSITIVE_COLOR = (0, 158, 115)
NEGATIVE_COLOR = (213, 94, 0)
BOX_COLOR = (204, 121, 167)
CLASS_COLORS = (
    MASK_COLOR, (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178),
)  # fmt: skip
MASK_OPACITY = 0.4
OBJECT_OPACITY = 0.3
LONGEST_SIDE = 1024


class Tile(NamedTuple):
    """One picture of a contact sheet."""

    picture: Image.Image
    caption: str


def draw_overlay(image: np.ndarray, mask: np.ndarray | None = None, prompts: PointPrompts | None = None) -> Image.Image:
    """Draws a mask and prompts over an image.

    Args:
        image: [H, W, 3] uint8 RGB.
        mask: [H, W] bool, tinted and outlined; or [H, W] uint8 numbers of classes, each in its own colour.
        prompts: positives as discs, negatives as crosses, the box as a frame.

    Returns:
        The picture, its longest side at most 1024.
    """
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR) if scale < 1 else Image.fromarray(image)
    if mask is not None:
        numbers = [1] if mask.dtype == np.bool_ else np.unique(mask[mask > 0]).tolist()
        for number in numbers:
            small = Image.fromarray((mask == number).astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
            picture = _tint(picture, np.asarray(small) > 127, class_color(int(number)))
    if prompts is not None:
        _draw_prompts(picture, prompts, size[0] / width, size[1] / height)
    return picture


def draw_objects(image: np.ndarray, labels: np.ndarray) -> Image.Image:
    """Draws objects over an image, each in a colour of its own that its neighbours do not have, and outlined.

    Args:
        image: [H, W, 3] uint8 RGB.
        labels: [H, W] integer, 0 background.

    Returns:
        The picture, its longest side at most 1024, or 2048 where objects would be too small to be told apart.
    """
    height, width = labels.shape
    count = int(labels.max(initial=0))
    typical = np.sqrt((labels > 0).sum() / max(1, count))  # pixels across
    longest = LONGEST_SIDE if typical * min(1.0, LONGEST_SIDE / max(height, width)) >= 12 else 2 * LONGEST_SIDE
    scale = min(1.0, longest / max(height, width))
    if scale == 1 and typical < 12 and max(height, width) <= LONGEST_SIDE:
        scale = 2.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    small = np.asarray(Image.fromarray(labels.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    pixels = np.asarray(picture, dtype=np.float32).copy()
    colours = object_colours(count)
    inside = small > 0
    pixels[inside] += OBJECT_OPACITY * (colours[small[inside]] - pixels[inside])
    edge = inside & _is_edge(small)
    pixels[edge] = colours[small[edge]]
    return Image.fromarray(pixels.round().astype(np.uint8))


def object_colours(count: int) -> np.ndarray:
    """[count + 1, 3] float32 RGB, the background first; hues by the golden ratio, so that numbers next to each other
    differ most."""
    hue = (np.arange(count + 1) * 0.618034) % 1
    ramp = np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    colours = 255 * (0.25 + 0.75 * np.clip(ramp, 0, 1))
    colours[0] = 0
    return colours.astype(np.float32)


def _is_edge(labels: np.ndarray) -> np.ndarray:
    """Where a pixel's right, left, upper or lower neighbour is of another object."""
    edge = np.zeros(labels.shape, dtype=bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def class_color(number: int) -> tuple[int, int, int]:
    """The colour (red, green, blue) of a class from 1, or of the only mask; after seven classes darker ones follow."""
    cycle, place = divmod(number - 1, len(CLASS_COLORS))
    red, green, blue = CLASS_COLORS[place]
    return (red >> cycle, green >> cycle, blue >> cycle) if cycle else (red, green, blue)


def _tint(picture: Image.Image, mask: np.ndarray, color: tuple[int, int, int]) -> Image.Image:
    """Blends a mask's colour in and draws its inner contour."""
    from scipy import ndimage

    pixels = np.asarray(picture, dtype=np.float32).copy()
    pixels[mask] += MASK_OPACITY * (np.array(color, dtype=np.float32) - pixels[mask])
    thickness = max(1, round(max(mask.shape) / 400))
    contour = mask & ~ndimage.binary_erosion(mask, iterations=thickness, border_value=1)
    pixels[contour] = CONTOUR_COLOR
    return Image.fromarray(pixels.round().astype(np.uint8))


def _draw_prompts(picture: Image.Image, prompts: PointPrompts, scale_x: float, scale_y: float) -> None:
    """Draws points and box into the picture."""
    draw = ImageDraw.Draw(picture)
    radius = max(2, round(max(picture.size) / 120))
    line = max(1, radius // 2)
    for (x, y), label in zip(prompts.point_coords, prompts.point_labels, strict=True):
        x, y = (float(x) + 0.5) * scale_x, (float(y) + 0.5) * scale_y
        if label == 1:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), POSITIVE_COLOR, "white", line)
        else:
            for color, thickness in (("white", line + 2), (NEGATIVE_COLOR, line)):
                draw.line((x - radius, y - radius, x + radius, y + radius), color, thickness)
                draw.line((x - radius, y + radius, x + radius, y - radius), color, thickness)
    if prompts.box is not None:
        x0, y0, x1, y1 = (float(value) for value in prompts.box)
        draw.rectangle((x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y), outline=BOX_COLOR, width=line + 1)


def contact_sheet(tiles: Sequence[Tile], columns: int = 4, cell: int = 320) -> Image.Image:
    """Lays pictures out on one sheet, row by row, each with its caption.

    Args:
        tiles: at least one.
        columns: pictures a row.
        cell: width and greatest height of a picture, in pixels.

    Returns:
        The sheet.
    """
    margin, text_height = 8, 20
    font = ImageFont.load_default(size=13)
    pictures = [_fit(tile.picture, cell) for tile in tiles]
    columns = min(columns, len(tiles))
    rows = [range(i, min(i + columns, len(tiles))) for i in range(0, len(tiles), columns)]
    heights = [max(pictures[i].height for i in row) for row in rows]
    width = columns * (cell + margin) + margin
    sheet = Image.new("RGB", (width, sum(heights) + len(rows) * (text_height + margin) + margin), "white")
    draw = ImageDraw.Draw(sheet)
    top = margin
    for row, height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            left = margin + column * (cell + margin)
            sheet.paste(pictures[index], (left, top))
            draw.text((left, top + height + 2), _shorten(tiles[index].caption, font, cell), "black", font)
        top += height + text_height + margin
    return sheet


def _fit(picture: Image.Image, cell: int) -> Image.Image:
    """Scales a picture into a square cell."""
    scale = min(cell / picture.width, cell / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cuts a caption in its middle until it fits."""
    if font.getlength(text) <= width:
        return text
    keep = len(text)
    while keep > 6 and font.getlength(text[: keep // 2] + "…" + text[-(keep // 2) :]) > width:
        keep -= 1
    return text[: keep // 2] + "…" + text[-(keep // 2) :]
