"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

from gpoa.errors import DataError, DiskFullError

_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name)}
"""No space left; quota exceeded, which Windows does not know."""


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name beside it and renames it; its folder is made.

    Args:
        path: the file.
        data: its whole content.

    Raises:
        DiskFullError: no space is left.
        DataError: the file cannot be written for another reason.
    """
    path = Path(path)
    # The process id keeps two runs that write the same file from renaming each other's half.
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except BaseException as error:  # ctrl-C included: no half of a file stays behind
        with contextlib.suppress(OSError):
            partial.unlink()
        if not isinstance(error, OSError):
            raise
        if error.errno in _FULL:
            reason = f"the disk is full ({error.strerror}); free some space and run the same command again"
            raise DiskFullError(f"{path}: cannot be written, {reason}") from error
        raise DataError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error


def encode_json(content: Any, indent: int | None = None) -> bytes:
    """JSON in UTF-8 with letters of all alphabets as they are.

    A file name that is not UTF-8 reaches Python with a lone surrogate for each such byte, which UTF-8 cannot hold: it
    is written as JSON's escape, from which `json.loads` and `os.fsencode` give the file's name again.

    Args:
        content: plain values.
        indent: spaces for each level; None is one line.
    """
    return json.dumps(content, indent=indent, ensure_ascii=False).encode("utf-8", "backslashreplace")
