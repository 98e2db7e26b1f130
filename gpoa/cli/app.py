"""Open a local web page: click on the object in one image, segment the folder, correct, learn, export.

Nothing leaves this machine. The page answers only to the browser that opens the address with the token, which is
printed and, where there is a desktop, opened. Masks that are accepted are written at once, as plain files, to the
output folder (default: beside the images, with -gpoa after their folder's name), so that a project can be closed,
opened again, and continued with `gpoa run`. Needs: pip install "gpoa[app]".

examples:
  gpoa app images/
  gpoa app images/ --output out/ --port 8080
  gpoa app --no-browser                    # choose a folder below this one in the page
  gpoa app images/ --host 0.0.0.0          # for other machines, too; the token is the only protection
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gpoa.cli.common import CacheArgs, ReadingArgs, build_segmenter, parse
from gpoa.config import GpoaConfig
from gpoa.errors import ConfigError

SHOWN = ("folder", "output", "port", "host", "no-browser")
"""The options that `-h` prints."""


@dataclass(frozen=True)
class Args:
    """Flags of `gpoa app`."""

    folder: Path | None = None
    """Folder of images; may also stand alone, without the flag. Without it the page shows the folders below this
    one."""
    output: Path | None = None
    """Output folder; default: beside the images, with -gpoa after their folder's name."""
    port: int = 7860
    """Port of the page; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen on: this machine only by default, 0.0.0.0 for all."""
    no_browser: bool = False
    """Only print the address, without opening the browser."""
    config: Annotated[GpoaConfig, tyro.conf.arg(name="")] = field(default_factory=GpoaConfig)
    reading: Annotated[ReadingArgs, tyro.conf.arg(name="")] = field(default_factory=ReadingArgs)
    cache: CacheArgs = field(default_factory=CacheArgs)


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns the exit status."""
    words = ["--folder", *argv] if argv and not argv[0].startswith("-") else list(argv)
    args = parse(Args, "app", __doc__, words, SHOWN)
    config = args.reading.applied(args.config)
    try:
        from gpoa.app.serving import serve
    except ImportError as error:
        raise ConfigError(f'gpoa app needs the package {error.name}: pip install "gpoa[app]"') from error
    from gpoa.app.engine import Engine
    from gpoa.app.studio import Studio

    engine = Engine(lambda: build_segmenter(config, args.cache))
    studio = Studio(args.folder or Path(), engine, args.output, config.reading)
    try:
        if args.folder is not None:
            studio.open("")
        serve(studio, args.host, args.port, not args.no_browser, lambda line: print(line, flush=True))
    except KeyboardInterrupt:  # ctrl-C is how one closes it
        print("gpoa app: closed; what was accepted is in the output folder", file=sys.stderr)
    finally:
        studio.shut_down()
    return 0
