"""Temporary files of other libraries."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def temporary_files_removed() -> Iterator[None]:
    """Has the temporary files that libraries make inside go to a folder that is removed at the end.

    torch_geometric writes the code that it generates for a layer to the temporary folder, loads it once and never
    removes it. Other threads that ask for a temporary file meanwhile get it in that folder, too.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="gpoa-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
