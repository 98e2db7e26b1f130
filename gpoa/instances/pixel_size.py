"""How large a pixel is: from `--pixel-size 0.65um`, or from what a TIFF says (OME, ImageJ, resolution tags)."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpoa.errors import ConfigError

UNITS = {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
"""Unit -> metres."""
_ALIASES = {"µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um", "\\u00b5m": "um"}
_IN_METRES = {2: 0.0254, 3: 0.01}
"""TIFF's ResolutionUnit -> metres; 1 is no unit at all."""
_TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class PixelSize:
    """The sides of a pixel.

    Args:
        width, height: above 0, in the unit.
        unit: one of `UNITS`.
    """

    width: float
    height: float
    unit: str


def parse_pixel_size(text: str) -> PixelSize:
    """Reads `0.65um`, `650 nm` or `0.65x0.70um`.

    Raises:
        ConfigError: it is something else, or not above 0.
    """
    number = r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    match = re.fullmatch(rf"\s*{number}(?:\s*x\s*{number})?\s*([^\d\s]+)\s*", text)
    unit = None if match is None else _unit(match[3])
    if match is None or unit is None or float(match[1]) <= 0 or float(match[2] or 1) <= 0:
        raise ConfigError(f"--pixel-size {text}: a number and a unit are expected ({', '.join(UNITS)}), such as 0.65um")
    return PixelSize(float(match[1]), float(match[2] or match[1]), unit)


def read_pixel_size(path: Path) -> PixelSize | None:
    """What a TIFF says of its pixels; None where it says nothing usable, or is another kind of file.

    OME metadata count first, then ImageJ's unit, then the resolution tags. Resolutions of 72, 96, 150, 200 and 300
    dots an inch are what programs write that know nothing, and are passed over.
    """
    if path.suffix.lower() not in _TIFF:
        return None
    import tifffile

    log = logging.getLogger("tifffile")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            return _from_ome(file.ome_metadata) or _from_tags(file)
    except Exception:  # its readers raise many kinds for damaged bytes; reading the image will say what is wrong
        return None


def _unit(text: str) -> str | None:
    text = _ALIASES.get(text, text)
    return text if text in UNITS else None


def _from_ome(xml: str | None) -> PixelSize | None:
    """PhysicalSizeX and PhysicalSizeY of the first image."""
    if not xml:
        return None
    found: dict[str, Any] = {}
    for side in "XY":
        size = re.search(rf'PhysicalSize{side}="([\d.eE+-]+)"', xml)
        unit = re.search(rf'PhysicalSize{side}Unit="([^"]+)"', xml)
        name = _unit("um" if unit is None else unit[1])  # micrometres where none is written, by OME's schema
        if size is None or name is None or float(size[1]) <= 0:
            return None
        found[side] = float(size[1]) * UNITS[name], name
    unit = found["X"][1]
    width, height = (float(f"{found[side][0] / UNITS[unit]:.9g}") for side in "XY")
    return PixelSize(width, height, unit)


def _from_tags(file: Any) -> PixelSize | None:
    """XResolution and YResolution, in ImageJ's unit or TIFF's own."""
    tags = file.pages[0].tags
    sides = []
    for name in ("XResolution", "YResolution"):
        value = tags[name].value if name in tags else (0, 1)
        number = value[0] / value[1] if isinstance(value, tuple) and value[1] else 0.0
        if number <= 0:
            return None
        sides.append(1 / number)
    unit = _unit(str((file.imagej_metadata or {}).get("unit", "")))
    if unit is not None:
        return PixelSize(sides[0], sides[1], unit)
    metres = _IN_METRES.get(int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1)
    if metres is None or round(0.0254 / (sides[0] * metres)) in (72, 96, 150, 200, 300):
        return None
    return PixelSize(sides[0] * metres / UNITS["um"], sides[1] * metres / UNITS["um"], "um")
