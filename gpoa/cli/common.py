"""What several verbs share: parsing, the cache flags, the closing lines."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gpoa.cli.flags import check_flags, explain, flags_of, print_help

if TYPE_CHECKING:
    from gpoa.config import GpoaConfig, StrategyName
    from gpoa.datasets.options import MaskOptions
    from gpoa.features.cache import EmbeddingCache
    from gpoa.pipeline.image import ImagePipeline
    from gpoa.pipeline.progress import Report

Args = TypeVar("Args")


@dataclass(frozen=True)
class CacheArgs:
    """Image embeddings kept on disk, so that another run skips the encoders."""

    folder: Path | None = None
    """Folder of the embedding cache; default: $GPOA_CACHE, else the user's cache folder."""
    limit_gb: float = 8.0
    """Maximum size of the embedding cache in GB; the least recently used entries are removed."""
    off: bool = False
    """Disable the embedding cache."""


@dataclass(frozen=True)
class ReadingArgs:
    """How image files are read."""

    pages: tuple[str, ...] = ()
    """Pages of stacks and animations: all, first, max (projection), or numbers from 0 such as 0 3 5-9 (same as
    --reading.pages)."""
    channels: tuple[int, ...] = ()
    """Channels, from 0, shown as grey or as red, green, blue: 0, or 0 2 1 (same as --reading.channels)."""
    intensity: Literal["image", "run"] | None = None
    """Black and white of images of more than 8 bits: from each image, or from all images of the run (same as
    --reading.intensity)."""

    def applied(self, config: GpoaConfig) -> GpoaConfig:
        """The config with the values of the flags that were given."""
        given = {name: value for name, value in vars(self).items() if value}
        return replace(config, reading=replace(config.reading, **given))


def parse(kind: type[Args], verb: str, description: str, argv: Sequence[str], shown: Sequence[str] = ()) -> Args:
    """Parses a verb's flags into its dataclass.

    `-h` prints the flags that most people use, `--help-all` all of them. `--config FILE` (JSON or TOML) stands for the
    flags in the file; flags on the command line come after and win.

    Args:
        kind: the dataclass.
        verb: for messages.
        description: what the verb does, with examples.
        argv: the verb's arguments.
        shown: names of the flags that `-h` prints; default: those of no section.

    Raises:
        ConfigError: a flag is unknown or missing, or its value is of the wrong kind.
        SystemExit: with 0, after help was printed.
    """
    import tyro

    prog, flags = f"gpoa {verb}", flags_of(kind)
    if "-h" in argv or "--help" in argv:
        print_help(prog, description, flags, shown)
        raise SystemExit(0)
    if "--help-all" in argv:
        return tyro.cli(kind, prog=prog, description=description, args=["--help"])
    arguments = expand_config(argv)
    check_flags(prog, flags, arguments)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, prog=prog, args=arguments)
    except SystemExit:
        raise explain(prog, flags, said.getvalue()) from None


def expand_config(argv: Sequence[str]) -> list[str]:
    """Replaces `--config FILE` by the flags that the file names.

    Args:
        argv: a verb's arguments.

    Returns:
        The arguments, those of the file first.

    Raises:
        ConfigError: the file cannot be read, or is no table of flags.
    """
    from gpoa.errors import ConfigError

    arguments = [part for one in argv for part in (one.split("=", 1) if one.startswith("--config=") else [one])]
    if "--config" not in arguments:
        return arguments
    place = arguments.index("--config")
    if place + 1 == len(arguments):
        raise ConfigError("--config: a JSON or TOML file is expected after it")
    path = Path(arguments[place + 1])
    return [*_flags(_read_table(path)), *arguments[:place], *arguments[place + 2 :]]


def _read_table(path: Path) -> dict[str, Any]:
    """The content of a JSON or TOML file."""
    from gpoa.errors import ConfigError, one_line

    try:
        if path.suffix == ".toml":
            import tomllib  # Python 3.11

            table = tomllib.loads(path.read_text(encoding="utf-8"))
        else:
            table = json.loads(path.read_text(encoding="utf-8"))
    except ModuleNotFoundError as error:
        raise ConfigError(f"--config {path}: TOML needs Python 3.11; write it as JSON") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {path}: cannot be read ({one_line(error)})") from error
    if not isinstance(table, dict):
        raise ConfigError(f"--config {path}: a table of flags is expected, like {{\"output\": \"out\"}}")
    return table


def _flags(table: dict[str, Any], prefix: str = "") -> list[str]:
    """A nested table as command-line flags: `{"train": {"updates": 5}}` is `--train.updates 5`."""
    flags = []
    for name, value in table.items():
        flag = prefix + str(name).replace("_", "-")
        if isinstance(value, dict):
            flags += _flags(value, f"{flag}.")
        elif isinstance(value, bool):
            parts = flag.rsplit(".", 1)
            flags.append(f"--{flag}" if value else "--" + ".".join([*parts[:-1], f"no-{parts[-1]}"]))
        elif value is not None:
            values = value if isinstance(value, list) else [value]
            flags += [f"--{flag}", *(str(one) for one in values)]
    return flags


def with_shortcuts(config: GpoaConfig, strategy: StrategyName | None, budget: int | None) -> GpoaConfig:
    """The config with the values of the short flags, where they were given."""
    given = config.optimize
    if strategy is not None:
        given = replace(given, strategy=strategy)
    if budget is not None:
        given = replace(given, budget=budget, posterior_budget=budget)
    return replace(config, optimize=given)


def print_masks(references: Sequence[Path], masks: Sequence[Path], options: MaskOptions, as_json: bool) -> None:
    """Says what the reference masks are, before the models are loaded; beside JSON on standard error.

    Raises:
        GpoaError: a reference image or a mask cannot be used.
    """
    from gpoa.datasets.shots import describe_shots

    for line in describe_shots(references, masks, options):
        print(line, file=sys.stderr if as_json else sys.stdout)


def build_segmenter(config: GpoaConfig, cache: CacheArgs) -> ImagePipeline:
    """The segmenter of a verb's flags."""
    from gpoa.pipeline.image import ImagePipeline

    return ImagePipeline(config, open_cache(cache))


def open_cache(cache: CacheArgs) -> EmbeddingCache:
    """The embedding cache of a verb's flags."""
    from gpoa.features.cache import EmbeddingCache
    from gpoa.runtime.machine import default_cache_folder

    folder = None if cache.off else cache.folder or default_cache_folder()
    return EmbeddingCache(folder, int(cache.limit_gb * (1 << 30)))


def finish(report: Report, places: dict[str, Path], as_json: bool) -> int:
    """Prints the summary and where things are.

    Args:
        report: what became of each image.
        places: what was written where.
        as_json: print one JSON object instead of text.

    Returns:
        The exit status.
    """
    if as_json:
        plain: dict[str, Any] = {"images": [item.plain for item in report.items], "seconds": report.seconds}
        plain |= {"notes": report.remarks()}
        print(json.dumps({**plain, **{name: str(path) for name, path in places.items()}}, ensure_ascii=False))
        return report.exit_code
    for item in report.items:
        if item.status == "failed":
            print(f"failed: {item.stem}: {item.error}", file=sys.stderr)
    print(report.summary())
    for line in report.remarks():
        print(f"  {line}")
    for name, path in places.items():
        if path.exists():
            print(f"  {name:<10} {path}")
    return report.exit_code
