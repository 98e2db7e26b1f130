"""The objects of each window of a large image on disk, until the image is done: what an interrupted run need not find
again."""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.instances.objects import Found
from gpoa.runtime.atomic import write_atomic


class WindowStore:
    """One file a window.

    Args:
        folder: of this image and these settings alone; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def write(self, number: int, found: Sequence[Found], calls: int) -> None:
        """Keeps what was found in a window.

        Args:
            number: of the window.
            found: its objects.
            calls: decoder calls that they cost.

        Raises:
            DataError: the file cannot be written; DiskFullError where no space is left.
        """
        if self.folder is None:
            return
        content = io.BytesIO()
        shapes = [(*(part.start for part in one.window), *one.mask.shape) for one in found]
        np.savez_compressed(
            content,
            calls=calls,
            places=np.array(shapes, dtype=np.int64).reshape(-1, 4),
            bits=np.packbits(np.concatenate([np.empty(0, bool), *(one.mask.reshape(-1) for one in found)])),
            scores=np.array([one.score for one in found]),
            xy=np.array([one.xy for one in found]).reshape(-1, 2),
            by_segmenter=np.array([one.source == "sam" for one in found], dtype=bool),
        )
        write_atomic(self._path(number), content.getvalue())

    def read(self, number: int) -> tuple[list[Found], int] | None:
        """What an earlier run found in a window; None where it did not come so far, or the file is damaged."""
        if self.folder is None or not self._path(number).is_file():
            return None
        try:
            with np.load(self._path(number), allow_pickle=False) as stored:
                places, sam = stored["places"], stored["by_segmenter"]
                areas = places[:, 2] * places[:, 3]
                bits = np.unpackbits(stored["bits"], count=int(areas.sum())).astype(bool)
                parts = np.split(bits, np.cumsum(areas)[:-1]) if len(areas) else []
                rows = zip(places.tolist(), parts, stored["scores"].tolist(), stored["xy"].tolist(), sam, strict=True)
                return [_found(*row) for row in rows], int(stored["calls"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def remove(self) -> None:
        """Forgets all windows."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        assert self.folder is not None, "nothing is kept"
        return self.folder / f"{number:05d}.npz"


def _found(place: list[int], bits: np.ndarray, score: float, xy: list[float], by_segmenter: bool) -> Found:
    top, left, height, width = place
    window = slice(top, top + height), slice(left, left + width)
    return Found(window, bits.reshape(height, width), score, (xy[0], xy[1]), "sam" if by_segmenter else "cell")
