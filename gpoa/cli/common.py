"""What several verbs share: parsing, the cache flags, the closing lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from gpoa.config import GpoaConfig, StrategyName
    from gpoa.features.cache import EmbeddingCache
    from gpoa.pipeline.image import ImagePipeline
    from gpoa.pipeline.progress import Report

Args = TypeVar("Args")


@dataclass(frozen=True)
class CacheArgs:
    """Where embeddings are kept, so that a second run costs no encoder pass."""

    folder: Path | None = None
    """Folder of the embedding cache; default: $GPOA_CACHE, else the user's cache folder."""
    limit_gb: float = 8.0
    """The entries unused for longest are removed beyond this size."""
    off: bool = False
    """Keep no embeddings."""


@dataclass(frozen=True)
class ReadingArgs:
    """How image files are read."""

    pages: tuple[str, ...] = ()
    """Short for --reading.pages: which pages of stacks and animations: all, first, max, or numbers from 0: 0 3 5-9."""
    channels: tuple[int, ...] = ()
    """Short for --reading.channels: channels, from 0, shown as grey or as red, green, blue: 0, or 0 2 1."""
    intensity: Literal["image", "run"] | None = None
    """Short for --reading.intensity: black and white of deep images from each image, or from all of the run."""

    def applied(self, config: GpoaConfig) -> GpoaConfig:
        """The config with the values of the flags that were given."""
        given = {name: value for name, value in vars(self).items() if value}
        return replace(config, reading=replace(config.reading, **given))


def parse(kind: type[Args], verb: str, description: str, argv: Sequence[str]) -> Args:
    """Parses a verb's flags into its dataclass; tyro prints help and mistakes and exits with 0 or 2.

    `--config FILE` (JSON or TOML) stands for the flags in the file; flags on the command line come after and win.
    """
    import tyro

    description = f"{description}\n--config FILE: flags from a JSON or TOML file, those on the command line win."
    return tyro.cli(kind, prog=f"gpoa {verb}", description=description, args=expand_config(argv))


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

    arguments = list(argv)
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
    given = {"strategy": strategy, "budget": budget}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(config, optimize=replace(config.optimize, **given))


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
        plain: dict[str, Any] = {"images": [asdict(item) for item in report.items], "seconds": report.seconds}
        print(json.dumps({**plain, **{name: str(path) for name, path in places.items()}}, ensure_ascii=False))
        return report.exit_code
    for item in report.items:
        if item.status == "failed":
            print(f"failed: {item.stem}: {item.error}", file=sys.stderr)
    print(report.summary())
    for name, path in places.items():
        if path.exists():
            print(f"  {name:<10} {path}")
    return report.exit_code
