"""The `gpoa` command: finds the verb, and turns errors into one clear line.

Exit status: 0 done, 1 some images failed, 2 a mistake that the user can mend, 130 interrupted (ctrl-C, SIGTERM,
SIGHUP), 141 whoever read the output has gone (`gpoa run -h | head -1`).
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from gpoa import __version__
from gpoa.errors import GpoaError
from gpoa.runtime.signals import ending_signals
from gpoa.runtime.threads import wait_without_spinning

VERBS = {
    "run": "segment a folder of images, given one reference image and its mask",
    "prompts": "generate initial prompts",
    "train": "train a prompt optimisation policy on labelled classes",
    "optimize": "optimise prompts without ground truth",
    "segment": "segment images with existing prompts",
    "suggest": "name the images of a folder that are worth labelling first",
    "watch": "segment images as they arrive in a folder",
    "export": "write masks in the forms that other programs read",
    "evaluate": "compare masks with ground truth",
    "benchmark": "compare gpoa with other methods on labelled classes",
    "models": "list, download and verify models",
    "app": "label, look, correct and export in the browser",
    "doctor": "check the installation",
}

USAGE = """usage: gpoa VERB [options]      gpoa VERB -h for a verb's options

Segment a folder of images, given one reference image and its mask.

{verbs}

  --version    print the version       --debug    show tracebacks       -v    verbose log

example:
  gpoa run --reference ref.png --mask ref_mask.png --targets images/ --output out/"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments without the program's name; default: `sys.argv`.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that the terminal's encoding cannot show ends no run
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a reader that has gone is noticed quietly
    except OSError as error:
        if not _is_reader_gone(error):
            raise
        with contextlib.suppress(OSError, AttributeError, ValueError):  # what is left in the buffer goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _is_reader_gone(error: OSError) -> bool:
    """Whether an error says that nobody reads the output: a pipe that is closed, or a terminal."""
    return isinstance(error, BrokenPipeError) or (error.errno == errno.EIO and error.filename is None)


def _run(arguments: list[str]) -> int:
    """`main`, but for what happens to the output."""
    debug, verbose = _take(arguments, "--debug"), _take(arguments, "-v")
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="gpoa: %(message)s")
    # A notice to the authors of torch_geometric, on every start.
    warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)
    wait_without_spinning()
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE.format(verbs="\n".join(f"  {name:<10} {text}" for name, text in VERBS.items())))
        return 0
    if arguments[0] == "--version":
        print(f"gpoa {__version__}")
        return 0
    if arguments[0] not in VERBS:
        near = difflib.get_close_matches(arguments[0], VERBS, 1)
        meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(VERBS)}"
        print(f"gpoa: unknown verb {arguments[0]!r}; {meant}", file=sys.stderr)
        return 2
    try:
        with ending_signals():
            return importlib.import_module(f"gpoa.cli.{arguments[0]}").main(arguments[1:])
    except GpoaError as error:
        if debug:
            raise
        print(f"gpoa {arguments[0]}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"gpoa {arguments[0]}: interrupted", file=sys.stderr)
        return 130


def _take(arguments: list[str], flag: str) -> bool:
    """Removes a flag from the arguments and says whether it was there."""
    found = flag in arguments
    while flag in arguments:
        arguments.remove(flag)
    return found


if __name__ == "__main__":
    sys.exit(main())
