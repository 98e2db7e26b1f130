"""Stacks, series, volumes and animations: every page of a file is an image of its own.

Pages are counted from 0, in file names as in `--pages`: page 7 of `a.tif` is the sample `a_p0007`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gpoa.config import ReadingConfig
from gpoa.datasets.dicom_io import SUFFIXES as DICOM
from gpoa.datasets.image_io import HEIC, count_pages, is_projected, load_image, read_page, read_projection
from gpoa.datasets.intensity import Window
from gpoa.datasets.raster import Raster, say_once, windows_of
from gpoa.errors import DataError, GpoaError
from gpoa.types import Sample

logger = logging.getLogger(__name__)

MAY_HAVE_PAGES = frozenset({".tif", ".tiff", ".gif", ".webp", ".png", ".avif", ".nii", ".gz", "", *DICOM, *HEIC})
"""Only files of these suffixes are opened to count their pages."""
NAMED = 3
"""A line names at most this many files."""


def expand_pages(samples: Sequence[Sample], reading: ReadingConfig) -> list[Sample]:
    """Every chosen page of every file as a sample; one line of the log says what became of files with several.

    Args:
        samples: one a file; those that name a page already are kept.
        reading: its `pages` chooses. Files of one page are kept whatever it says.

    Returns:
        At least one sample with unique stems; `page` is set for pages of stacks.

    Raises:
        DataError: no file has a chosen page.
    """
    counts = [1 if sample.page is not None else _pages_in(sample.image_path) for sample in samples]
    taken = {sample.stem.casefold() for sample, count in zip(samples, counts, strict=True) if count == 1}
    made: list[Sample] = []
    for sample, count in zip(samples, counts, strict=True):
        if count == 1 or reading.pages == ("max",):
            made.append(sample)
        elif reading.pages == ("first",):
            made.append(replace(sample, page=0))
        else:
            for page in chosen_pages(reading, count):
                stem = _free(f"{sample.stem}_p{page:04d}", taken)
                made.append(replace(sample, stem=stem, page=page))
    _say(samples, counts, reading, made)
    if not made:
        raise DataError(f"--pages {' '.join(reading.pages)}: no image has such a page; pages are counted from 0")
    return made


def load_sample(sample: Sample, reading: ReadingConfig) -> np.ndarray:
    """The pixels of a sample: [H, W, 3] uint8 RGB; see `load_image`.

    Raises:
        ImageError: the file cannot be read.
    """
    return load_image(sample.image_path, reading, sample.page)


def chosen_pages(reading: ReadingConfig, count: int) -> list[int]:
    """The pages that `reading.pages` chooses of a file.

    Args:
        reading: all, first, max, or numbers and ranges.
        count: how many pages the file has.

    Returns:
        Numbers from 0, in the order that was asked for, each once; those that the file does not have are left out.
    """
    if reading.pages in (("first",), ("max",)):
        return [0]
    if reading.pages == ("all",):
        return list(range(count))
    found: dict[int, None] = {}
    for word in " ".join(reading.pages).split():
        first, _, last = word.partition("-")
        found |= dict.fromkeys(page for page in range(int(first), int(last or first) + 1) if page < count)
    return list(found)


def with_run_window(reading: ReadingConfig, references: Iterable[Path], samples: Sequence[Sample]) -> ReadingConfig:
    """The settings with the window of a whole run, where `intensity` is "run" and none is given.

    Args:
        reading: the settings.
        references: reference images; every image is read once.
        samples: the targets, one a page.

    Returns:
        `window` holds the smallest black and the largest white of all images of more than 8 bits: a pair for each
        channel where all have equally many, else one pair. Images that cannot be read do not count.
    """
    if reading.intensity == "image" or reading.window:
        return reading
    everything = [Sample("", Path(path)) for path in references] + list(samples)
    found: list[list[Window]] = []
    for sample in everything:
        try:
            found += [pairs] if (pairs := _windows(sample, reading)) else []
        except (GpoaError, OSError) as error:
            logger.debug("%s has no window: %s", sample.image_path, error)
    if not found:
        return replace(reading, intensity="image")  # nothing but 8-bit images, which have no window
    if len({len(pairs) for pairs in found}) > 1:
        found = [[(min(low for low, _ in pairs), max(high for _, high in pairs))] for pairs in found]
    ends = [(min(p[c][0] for p in found), max(p[c][1] for p in found)) for c in range(len(found[0]))]
    ends = [(low, high if high > low else low + 1) for low, high in ends]
    ends = ends[:1] if len(set(ends)) == 1 else ends
    window = tuple(value for pair in ends for value in pair)
    logger.warning("intensity of the run: --reading.window %s", " ".join(f"{value:g}" for value in window))
    return replace(reading, window=window)


def reading_parts(reading: ReadingConfig) -> list[object]:
    """What of the settings shapes an image's pixels, for digests; nothing where all are the defaults."""
    parts = [reading.channels, reading.window, reading.pages == ("max",)]
    return parts if any(parts) else []


def _windows(sample: Sample, reading: ReadingConfig) -> list[Window]:
    """The windows of an image of more than 8 bits; none for others."""
    stored: object
    if sample.page is None and is_projected(sample.image_path, reading):
        stored = read_projection(sample.image_path, reading)
    else:
        stored = read_page(sample.image_path, sample.page or 0, bool(reading.channels))
    pairs = windows_of(stored, reading) if isinstance(stored, Raster) else []
    return [pair for pair in pairs if pair is not None]


def _pages_in(path: Path) -> int:
    """Pages of a file; 1 where it cannot be read, which its own turn will say."""
    if path.suffix.lower() not in MAY_HAVE_PAGES:
        return 1
    try:
        return max(1, count_pages(path))
    except GpoaError:
        return 1


def _free(stem: str, taken: set[str]) -> str:
    """The stem, with a number behind it where another file has it."""
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name.casefold())
    return name


def _say(samples: Sequence[Sample], counts: Sequence[int], reading: ReadingConfig, made: Sequence[Sample]) -> None:
    """Logs what became of files with several pages."""
    several = [(sample.image_path.name, count) for sample, count in zip(samples, counts, strict=True) if count > 1]
    if not several:
        return
    listed = ", ".join(f"{name}: {count} pages" for name, count in several[:NAMED])
    listed += f" and {len(several) - NAMED} more files" if len(several) > NAMED else ""
    total = sum(count for _, count in several)
    if reading.pages == ("max",):
        became = "each becomes one image, its maximum projection"
    else:
        used = len(made) - (len(samples) - len(several))
        became = f"{used} of {total} pages are used"
        asked = " ".join(reading.pages)
        became += " (--pages first|max|0 3 5-9 chooses)" if asked == "all" else f" (--pages {asked})"
    say_once(f"{listed}; {became}")
