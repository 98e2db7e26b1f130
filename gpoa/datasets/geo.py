"""Georeferenced images: a mask carries the coordinate system and the transform of its image."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpoa.datasets.raster import missing
from gpoa.errors import DataError, one_line

GEO_TAGS = frozenset({33550, 33922, 34264, 34735})
"""Pixel scale, tie points, transformation, keys: a TIFF with one of these is georeferenced."""


def is_georeferenced(path: Path) -> bool:
    """Whether a file is a TIFF with a place on the earth; False where it cannot be read."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return any(tag.code in GEO_TAGS for tag in file.pages[0].tags)
    except (tifffile.TiffFileError, OSError, ValueError):
        return False


def copy_georeference(image_path: Path, mask_path: Path) -> bool:
    """Gives a mask the coordinate system, the transform and the ground control points of its image.

    Args:
        image_path: the image; what is not a georeferenced TIFF is passed over.
        mask_path: the mask, a TIFF of the same size; changed in place.

    Returns:
        Whether there was something to copy.

    Raises:
        DataError: rasterio is not installed, or one of the files cannot be used.
    """
    if not is_georeferenced(image_path):
        return False
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise DataError(f"{image_path}: {missing('a georeferenced mask', 'rasterio', 'geo')}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(image_path) as image, rasterio.open(mask_path, "r+") as mask:
                points, system = image.gcps
                if points:
                    mask.gcps = (points, system)
                else:
                    mask.crs, mask.transform = image.crs, image.transform
    except (RasterioError, OSError, ValueError) as error:
        raise DataError(f"{mask_path}: cannot be georeferenced as {image_path} ({one_line(error)})") from error
    return True


def to_longitude_latitude(image_path: Path) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """How a GeoJSON geometry in an image's pixels (corners, from the upper left) becomes one on the earth.

    Args:
        image_path: the image.

    Returns:
        Geometry in pixels -> geometry in longitude and latitude (WGS 84, as RFC 7946 wants it); None for an image
        without a coordinate system.

    Raises:
        DataError: rasterio is not installed, or the file cannot be used.
    """
    if not is_georeferenced(image_path):
        return None
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.transform import from_gcps
        from rasterio.warp import transform
    except ImportError as error:
        raise DataError(f"{image_path}: {missing('GeoJSON of a georeferenced image', 'rasterio', 'geo')}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(image_path) as image:
                points, system = image.gcps
                crs, affine = (system, from_gcps(points)) if points else (image.crs, image.transform)
    except (RasterioError, OSError, ValueError) as error:
        raise DataError(f"{image_path}: its place on the earth cannot be read ({one_line(error)})") from error
    if crs is None:
        return None

    def moved(coordinates: list[Any]) -> list[Any]:
        if isinstance(coordinates[0][0], list):
            return [moved(part) for part in coordinates]
        xs = [affine.a * x + affine.b * y + affine.c for x, y in coordinates]
        ys = [affine.d * x + affine.e * y + affine.f for x, y in coordinates]
        return [list(pair) for pair in zip(*transform(crs, "EPSG:4326", xs, ys), strict=True)]

    return lambda geometry: {**geometry, "coordinates": moved(geometry["coordinates"])}
