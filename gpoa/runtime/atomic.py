"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gpoa.errors import DataError


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name beside it and renames it; its folder is made.

    Args:
        path: the file.
        data: its whole content.

    Raises:
        DataError: the file cannot be written.
    """
    path = Path(path)
    # The process id keeps two runs that write the same file from renaming each other's half.
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise DataError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
