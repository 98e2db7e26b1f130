"""One program at a time works on a project; the operating system lets go of the lock when a program is killed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

from gpoa.errors import DataError

LOCK_FILE = "app.lock"


class ProjectLock:
    """A lock on an output folder, held from here on.

    Args:
        output: the folder, which exists.

    Raises:
        DataError: another program holds it.
    """

    def __init__(self, output: Path) -> None:
        self._file: IO[str] | None = None
        path = output / LOCK_FILE
        try:
            import fcntl
        except ImportError:  # Windows: two pages on one project are not noticed there
            return
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read(40).strip() or "unknown"
            file.close()
            said = f"{output}: this project is open in another `gpoa app` (process {holder})"
            raise DataError(f"{said}; use its page, or close it first") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Lets go; once is enough."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
