"""Embeddings on disk, so that a stage that runs again costs no encoder pass.

An entry's key is (digest of the decoded pixels, model id): the model id names the weights, the input size and the
layers. Entries are safetensors files, written to a temporary name and renamed, so that two processes may share a
folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


def image_digest(image: np.ndarray) -> str:
    """Names the pixels of an image.

    Args:
        image: [H, W, 3] uint8.

    Returns:
        32 hexadecimal digits over the shape and the bytes.
    """
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


class EmbeddingCache:
    """A folder of named arrays.

    Args:
        folder: where the entries live; None switches the cache off.
        limit_bytes: `trim` removes the entries that were unused longest beyond this size.
    """

    def __init__(self, folder: Path | None, limit_bytes: int = 8 << 30) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.hits = self.misses = 0

    def get_or_compute(self, image_key: str, model_id: str, compute: Callable[[], Arrays]) -> Arrays:
        """Returns the entry, computing and storing it when it is absent or damaged.

        Args:
            image_key: from `image_digest`.
            model_id: names the model and its settings.
            compute: makes the arrays; called at most once.

        Returns:
            The named arrays.
        """
        path = self._path(image_key, model_id)
        found = self._read(path)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        arrays = compute()
        self._write(path, arrays)
        return arrays

    def missing(self, image_key: str, model_id: str) -> bool:
        """Whether there is no entry, so that `get_or_compute` would compute (a damaged one is found only there)."""
        path = self._path(image_key, model_id)
        return path is None or not path.is_file()

    def _path(self, image_key: str, model_id: str) -> Path | None:
        if self.folder is None:
            return None
        name = hashlib.sha256(model_id.encode()).hexdigest()[:12]
        return self.folder / image_key[:2] / f"{image_key}-{name}.safetensors"

    def _read(self, path: Path | None) -> Arrays | None:
        if path is None or not path.is_file():
            return None
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            logger.warning("cache entry %s is damaged (%s); it is made again", path, error)
            return None
        with contextlib.suppress(OSError):  # a shared cache may be read-only
            os.utime(path)
        return arrays

    def _write(self, path: Path | None, arrays: Arrays) -> None:
        if path is None:
            return
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, partial)
            os.replace(partial, path)
        except (OSError, SafetensorError) as error:  # safetensors has its own error for a full disk
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            logger.warning("the embedding cache %s cannot be written (%s); going on without it", self.folder, error)
            self.folder = None

    def trim(self) -> int:
        """Removes the entries unused for longest until the folder is within its limit; returns the bytes removed."""
        if self.folder is None or not self.folder.is_dir():
            return 0
        entries = []
        for path in self.folder.glob("*/*.safetensors"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another process trimmed it
            entries.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in entries) - self.limit_bytes
        removed = 0
        for _, size, path in sorted(entries, key=lambda entry: entry[0]):
            if removed >= excess:
                break
            path.unlink(missing_ok=True)
            removed += size
        return removed
