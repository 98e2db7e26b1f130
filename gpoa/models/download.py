"""Downloads one large file so that an interrupted attempt is continued and not begun again."""

from __future__ import annotations

import http.client
import logging
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from gpoa.errors import ModelError
from gpoa.models.registry_packages import check_digest
from gpoa.models.zoo import DownloadSource

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 15.0
"""Seconds that the server may be silent."""
ATTEMPTS = 5
"""Attempts in a row that may bring nothing before a download is given up."""
PAUSE = 1.0
"""Seconds between an attempt that brought nothing and the next."""
_BLOCK = 1 << 20


def download(source: DownloadSource, part: Path, progress: bool = True) -> None:
    """Downloads a file to `part`, continuing whatever an earlier attempt left there.

    Args:
        source: what, with its size and digest.
        part: where; the file survives a failure, so that the next call goes on from there.
        progress: show a progress bar (only on a terminal).

    Raises:
        ModelError: the server cannot be reached, the connection broke off too often, or the file is another one.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    if part.exists() and part.stat().st_size > source.size:
        part.unlink()
    failures, reason = 0, "no answer"
    while _size(part) < source.size:
        before = _size(part)
        try:
            _attempt(source, part, progress)
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            raise ModelError(f"{source.address}: the server answered {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            if before == 0:
                raise ModelError(f"{source.address}: cannot be reached ({error.reason})") from error
            reason = str(error.reason)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        failures = 0 if _size(part) > before else failures + 1
        if failures >= ATTEMPTS:
            done = f"{_size(part)} of {source.size} bytes"
            raise ModelError(f"{source.address}: broke off at {done} ({reason}); run the same command again to go on")
        if failures:
            time.sleep(PAUSE)
    try:
        check_digest(part, source.sha256, source.address)
    except ModelError:
        part.unlink()  # a wrong file would be continued for ever
        raise


def _size(path: Path) -> int:
    """Bytes in a file that may not exist."""
    return path.stat().st_size if path.exists() else 0


def _attempt(source: DownloadSource, part: Path, progress: bool) -> None:
    """One connection: appends to `part` until the server stops."""
    from tqdm import tqdm

    have = _size(part)
    request = urllib.request.Request(source.address, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT) as answer:
        # A server that does not know ranges answers 200 and sends the file from its beginning.
        resumed = answer.status == 206
        have = have if resumed else 0
        hidden = not progress or not sys.stderr.isatty()
        with (
            open(part, "ab" if resumed else "wb") as out,
            tqdm(total=source.size, initial=have, unit="B", unit_scale=True, desc=source.file, disable=hidden) as bar,
        ):
            while have < source.size and (block := answer.read(min(_BLOCK, source.size - have))):
                out.write(block)
                have += len(block)
                bar.update(len(block))
            out.flush()
            os.fsync(out.fileno())
